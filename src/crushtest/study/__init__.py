"""The noun: plan, folder, manifest, query, suites."""
