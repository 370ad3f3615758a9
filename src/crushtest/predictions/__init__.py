"""Read answers made elsewhere, and score them without a model."""

from crushtest.predictions.completions import score_completions
from crushtest.predictions.score import score_predictions

__all__ = ["score_completions", "score_predictions"]
