"""The models and arms of the tables in our words."""

from __future__ import annotations

from typing import NamedTuple

from crushtest.records import DENSE

MODELS = {
    "llama2_7b": "Llama-2-7B",
    "llama2_13b": "Llama-2-13B",
    "tulu2_7b": "Tulu-2-7B",
    "tulu2_13b": "Tulu-2-13B",
    "llama-2-7b": "Llama-2-7B",
    "llama-2-13b": "Llama-2-13B",
    "tulu-2-7b": "Tulu-2-7B",
    "tulu-2-13b": "Tulu-2-13B",
}
OTHER_CHECKPOINT = "Tulu-2-7B (figure 4)"
"""The model of the experiment with fine-tuning, under the name of another one in the tables."""
PATTERNS = {"semistructured:24": "2:4", "semistructured:48": "4:8"}
EIGHT_BITS = ("bitsandbytes", "bnb")


class Arm(NamedTuple):
    """A recipe of ours, or `dense`, and the share of bits that it removes."""

    recipe: str
    compression_ratio: float


def arm_of(method: str, ratio: str, structure: str) -> Arm:
    """Return the arm that a file spells so. Seven of the files have 0 for the ratio of quantization.

    >>> arm_of("wanda", "0.5", "semistructured:24"), arm_of("bnb", "0.5", "-")
    (Arm(recipe='wanda:pattern=2:4', compression_ratio=0.5), Arm(recipe='int8', compression_ratio=0.5))
    """
    if method == "none":
        return Arm(DENSE, 0.0)
    if method in EIGHT_BITS:
        return Arm("int8", 0.5)
    if method in ("awq", "gptq"):
        return Arm(f"{method}:bits=4", 0.75)
    if structure in PATTERNS:
        return Arm(f"{method}:pattern={PATTERNS[structure]}", float(ratio))
    return Arm(f"{method}:sparsity={ratio}", float(ratio))
