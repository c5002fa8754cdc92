"""Backbones for several architectures."""
