"""A plug-in with one of each: a method, an engine, a scorer, a task."""
