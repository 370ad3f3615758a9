"""Estimates and contrasts with their uncertainty: cluster bootstrap, paired tests, corrections, verdicts."""

from crushtest.stats.attribution import compares
from crushtest.stats.contrasts import contrast
from crushtest.stats.estimates import estimate
from crushtest.stats.multiplicity import adjust
from crushtest.stats.noise import noise_bands, with_noise

__all__ = ["adjust", "compares", "contrast", "estimate", "noise_bands", "with_noise"]
