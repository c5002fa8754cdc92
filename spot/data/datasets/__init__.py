"""One file a data set: where its files lie on disk, read into a VideoSet."""
