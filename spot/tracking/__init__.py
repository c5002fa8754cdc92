"""A trained network on a video."""
