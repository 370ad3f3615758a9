"""The arms of a study on a Ray cluster: workers hold the models, and this process alone writes the folder."""
