"""How a network is trained: Lightning module, data module, callbacks and loggers."""
