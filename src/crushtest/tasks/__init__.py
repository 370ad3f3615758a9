"""Tasks: one file a data set."""
