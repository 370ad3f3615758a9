"""No model: answers from a hash of the question, for tests and for trying a study."""
