"""SPOT: single-object trackers trained from a handful of labelled frames per video."""

__version__ = "0.1.0"
