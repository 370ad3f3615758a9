"""Compression methods, and the one loop that runs them over a model's layers."""

from __future__ import annotations

from crushtest.compress.checks import check
from crushtest.compress.kernels.statistics import InputGram, InputNorm, WeightGradient
from crushtest.compress.methods.awq import awq
from crushtest.compress.methods.gblm import gblm
from crushtest.compress.methods.gptq import gptq
from crushtest.compress.methods.magnitude import magnitude
from crushtest.compress.methods.rtn import rtn
from crushtest.compress.methods.sparsegpt import sparsegpt
from crushtest.compress.methods.wanda import wanda
from crushtest.compress.record import CompressionRecord
from crushtest.compress.run import compress

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
