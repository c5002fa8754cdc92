"""The sampler state: which frames have been explored, with their boxes and confidences.

`store` writes versions and `sampler_state` reads them; `merge` is the rule that adds the labels of an epoch;
`nearest_frames` searches; `interchange` reads and writes the published format; `state_files` is the file format.
"""
