"""Studies at addresses of object storage: working copies that are written back, and copies to read."""
