"""VOT's measures: `supervised` (accuracy, robustness, EAO), `long_term` (F1), `regions` (overlap of polygons)."""
