"""The sampler state: which frames have been explored, with their boxes and confidences.

`store` writes versions, `sampler_state` reads them, `exploration` draws from them, `interchange` speaks the published
format; `merge` is the rule by which results enter, and `files` how arrays reach the disk.
"""
