"""Scorers: one file each, a function over a batch of exchanges."""
