"""The networks: one folder an architecture, with its network, loss, tracker and published names."""
