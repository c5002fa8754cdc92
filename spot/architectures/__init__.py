"""The networks: one folder for each architecture, with its network, loss, tracker and published names."""
