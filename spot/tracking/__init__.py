"""Track videos with a trained network."""
