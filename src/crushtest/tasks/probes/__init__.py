"""Probes: items that we wrote ourselves, carried by the package. A smoke alarm, not a benchmark."""
