"""Result files: one file for each family of formats says how it is written, named and read.

`plain_files`, `got10k_files` and `vot_files` are the formats; `result_folder` writes them; `searching` finds the files of
other programs too; `numbers` turns text into arrays; `server_zips` packs what evaluation servers want. docs/formats.md
describes the files.
"""
