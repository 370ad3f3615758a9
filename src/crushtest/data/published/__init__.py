"""Results that others published, read from their own files into one table."""
