"""Training with Lightning: module, data module, callbacks and loggers."""
