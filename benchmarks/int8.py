"""What LLM.int8() costs on `demo`, and which half of it: perplexity with weights, activations and both rounded.

    python benchmarks/int8.py [--windows 6]

The first rows round by formula, the last with bitsandbytes itself at several thresholds; windows of 512 tokens.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from crushtest.compress.layers.structure import find_structure
from crushtest.data.python_docs import evaluation_prose
from crushtest.models.load import load_model


def rounded(rows: Tensor) -> Tensor:
    """Each row on its own grid of 8 bits, symmetric."""
    scale = rows.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
    return (rows / scale).round() * scale


def round_input(threshold: float) -> Callable[[Any, tuple[Tensor]], tuple[Tensor]]:
    """A hook that rounds a layer's input by token, but for features that reach the threshold anywhere in it."""

    def hook(_: Any, given: tuple[Tensor]) -> tuple[Tensor]:
        rows = given[0].reshape(-1, given[0].shape[-1])
        outliers = (rows.abs() >= threshold).any(dim=0)
        return (torch.where(outliers, rows, rounded(rows.masked_fill(outliers, 0.0))).reshape(given[0].shape),)

    return hook


@contextmanager
def with_rounding(layers: list[Any], *, weights: bool, threshold: float | None) -> Iterator[None]:
    """The layers with rounded weights, and with rounded activations where a threshold is given."""
    kept = [layer.weight.data for layer in layers]
    hooks = []
    for layer in layers:
        if weights:
            layer.weight.data = rounded(layer.weight.data)
        if threshold is not None:
            hooks.append(layer.register_forward_pre_hook(round_input(threshold)))
    yield
    for hook in hooks:
        hook.remove()
    for layer, weight in zip(layers, kept, strict=True):
        layer.weight.data = weight


def exchange(network: Any) -> list[Any]:
    """Put bitsandbytes' layers in the place of the linear layers."""
    import bitsandbytes

    made = []
    for linear in find_structure(network).linears:
        rows, columns = linear.shape
        new: Any = bitsandbytes.nn.Linear8bitLt(columns, rows, bias=False, has_fp16_weights=False)
        new.weight = bitsandbytes.nn.Int8Params(linear.weight.clone(), requires_grad=False, has_fp16_weights=False)
        parent, _, name = linear.name.rpartition(".")
        setattr(network.get_submodule(parent), name, new.to("cpu").eval())
        made.append(new)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=6)
    windows = parser.parse_args().windows
    logging.disable(logging.WARNING)
    model = load_model("demo")
    network: Any = model.network
    ids = model.tokenizer("\n\n".join(evaluation_prose()), verbose=False)["input_ids"]
    held_out = torch.tensor(ids[: windows * 512]).reshape(-1, 512)

    @torch.no_grad()
    def perplexity() -> float:
        losses = [network(row[None], labels=row[None]).loss for row in held_out]
        return float(torch.stack(losses).mean().exp())

    dense = perplexity()
    print(f"{'dense':34} {dense:.3f}")

    def show(name: str) -> None:
        found = perplexity()
        print(f"{name:34} {found:.3f} {found / dense - 1:+.2%}", flush=True)

    layers = [linear.module for linear in find_structure(network).linears]
    for name, weights, threshold in (
        ("weights only", True, None),
        ("activations only, threshold 6", False, 6.0),
        ("both, threshold 6", True, 6.0),
        ("both, no outliers", True, float("inf")),
    ):
        with with_rounding(layers, weights=weights, threshold=threshold):
            show(name)
    exchanged = exchange(network)
    for threshold in (6.0, 3.0, 2.0, 1.0):
        for layer in exchanged:
            layer.state.threshold = threshold
        show(f"bitsandbytes, threshold {threshold:g}")


if __name__ == "__main__":
    main()
