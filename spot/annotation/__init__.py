"""The user's own videos: labels by hand, dense boxes from few labels, review, and other programs' formats."""
