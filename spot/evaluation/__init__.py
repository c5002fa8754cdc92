"""Result files to numbers, tables, plots and a report."""
