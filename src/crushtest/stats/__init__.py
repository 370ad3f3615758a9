"""Statistics over per-item sums."""
