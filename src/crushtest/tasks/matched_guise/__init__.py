"""Matched guise probing: what a dialect alone makes a model think."""
