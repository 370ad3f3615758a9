"""The refusal margin: how much likelier a model begins with a refusal than with an answer."""
