"""Compression methods, and the one loop that runs them over a model's layers."""

from __future__ import annotations

from crushtest.compress.awq import awq
from crushtest.compress.checks import check
from crushtest.compress.gblm import gblm
from crushtest.compress.gptq import gptq
from crushtest.compress.magnitude import magnitude
from crushtest.compress.record import CompressionRecord
from crushtest.compress.rtn import rtn
from crushtest.compress.run import compress
from crushtest.compress.sparsegpt import sparsegpt
from crushtest.compress.statistics import InputGram, InputNorm, WeightGradient
from crushtest.compress.wanda import wanda

__all__ = [
    "CompressionRecord",
    "InputGram",
    "InputNorm",
    "WeightGradient",
    "awq",
    "check",
    "compress",
    "gblm",
    "gptq",
    "magnitude",
    "rtn",
    "sparsegpt",
    "wanda",
]
