"""Numbers to tables, plots, pictures and the HTML report."""
