"""OSTrack (Ye et al., ECCV 2022): one-stream vision transformer, with a predicted IoU."""
