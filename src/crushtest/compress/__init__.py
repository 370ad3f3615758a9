"""Compression: the layer loop and its methods."""
