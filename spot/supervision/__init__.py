"""Learning from few labels: teacher, pseudo labels, frame sampling, label filters."""
