"""Result files: one home for each format."""
