"""Run a study: compress, ask, score, compare, report."""
