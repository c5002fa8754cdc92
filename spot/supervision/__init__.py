"""How few labels become many: teacher, pseudo labels, frame sampling, label filters."""
