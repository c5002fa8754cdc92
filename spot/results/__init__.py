"""Result files. Each family of formats has one module that writes, names and reads its files.

`plain_files`, `got10k_files` and `vot_files` are the formats. `result_folder` writes them. `searching` finds files, also
those of other programs. `numbers` converts text to arrays. `server_zips` makes the zips for evaluation servers.
docs/formats.md describes the files.
"""
