"""Bytes on disk: atomic writes, append log, JSON lines, Parquet, cache; and folders in object storage."""
