"""The verb: run, arm, score, compare, noise floor."""
