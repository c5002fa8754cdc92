"""From a data set on disk to a training batch."""
