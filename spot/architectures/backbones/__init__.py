"""Backbones that architectures share."""
