"""Engines: what runs a model."""
