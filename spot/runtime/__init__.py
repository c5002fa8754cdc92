"""Code that all commands share: command line, sweeps, processes, atomic files, errors."""
