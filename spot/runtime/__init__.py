"""What all commands share: command line, sweeps, processes, files written whole, errors."""
