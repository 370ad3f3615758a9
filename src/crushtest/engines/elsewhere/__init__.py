"""No model: answers that another program made, added to a study from files."""

NAME = "elsewhere"
"""The engine's name in a study file."""
