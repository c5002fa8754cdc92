"""TransT (Chen et al., CVPR 2021) with an IoU head."""
