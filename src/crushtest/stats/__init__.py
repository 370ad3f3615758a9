"""Estimates and contrasts with their uncertainty: cluster bootstrap, paired tests, corrections, verdicts."""

from crushtest.stats.contrasts import contrast
from crushtest.stats.estimates import estimate
from crushtest.stats.multiplicity import adjust

__all__ = ["adjust", "contrast", "estimate"]
