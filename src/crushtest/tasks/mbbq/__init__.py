"""MBBQ: BBQ's questions in several languages."""
