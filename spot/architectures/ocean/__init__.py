"""Ocean (Zhang et al., ECCV 2020) with an IoU head."""
