"""Bytes on disk: atomic writes, append log, JSON lines, Parquet, cache."""
