"""Compression methods, one file a paper."""
