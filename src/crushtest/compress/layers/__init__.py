"""The one loop over a model's layers, and what it needs."""
