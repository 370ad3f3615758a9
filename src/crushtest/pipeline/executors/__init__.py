"""Where the arms of a study are run: in this process, or on a cluster."""
