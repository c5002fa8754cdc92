"""Networks and their losses: plain torch, no Lightning, no Hydra."""
