"""The command that writes a compressed model: compress."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crushtest.cli.envelope import print_result
from crushtest.cli.interrupted import leave
from crushtest.cli.options import Model, Pickle, Threads, Trust
from crushtest.cli.output import AsJson, print_line
from crushtest.errors import UnknownName

if TYPE_CHECKING:
    from crushtest.compress.record import Totals


def compress(
    model: Model,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="One recipe: `wanda:sparsity=0.5`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the compressed model.")],
    calibration: Annotated[str, typer.Option(help="Calibration text: pydoc, c4, wikitext2 or a file.")] = "pydoc",
    sequences: Annotated[int, typer.Option(min=1, help="Calibration sequences.")] = 16,
    length: Annotated[int, typer.Option(min=2, help="Tokens per calibration sequence.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the calibration draw.")] = 0,
    chat: Annotated[
        bool, typer.Option("--chat", help="Put each document of the calibration text into the model's chat template.")
    ] = False,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16, or auto (as the checkpoint stores it).")
    ] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    threads: Threads = None,
    offload: Annotated[
        str,
        typer.Option(help="Where weights wait: none (all on the device), cpu, or disk (a block at a time in memory)."),
    ] = "none",
    trust_remote_code: Trust = False,
    allow_pickle: Pickle = False,
    json: AsJson = False,
) -> None:
    """Compress a model and save it as a folder that transformers loads, with compression.json beside the weights."""
    from crushtest.compress.calibration import Calibration
    from crushtest.compress.new_folder import unfinished
    from crushtest.compress.recipes import parse_recipe
    from crushtest.compress.to_folder import compress_and_save
    from crushtest.models.dtypes import DTYPES
    from crushtest.models.options import ModelOptions

    if dtype not in DTYPES:
        raise UnknownName("dtype", dtype, DTYPES, where="compress")
    options = ModelOptions(dtype, device, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    text = Calibration(calibration, sequences, length, seed, chat)
    for folder in unfinished(out):
        print_line(
            f"{folder}: unfinished; remove it unless another `crushtest compress` is writing it", file=sys.stderr
        )
    try:
        totals = compress_and_save(model, recipe, out, options=options, calibration=text, offload=offload).totals
    except KeyboardInterrupt as interrupt:
        leave(interrupt, f"nothing was left in {out}")
    if json:
        print_result("compress", {"folder": str(out), "totals": asdict(totals)})
    else:
        _show(totals, out, prunes=parse_recipe(recipe).prunes)


def _show(totals: Totals, out: Path, *, prunes: bool) -> None:
    written = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    # Rounding leaves zeros, too, which are no pruning.
    zeros = f"{totals.sparsity:.1%} of their weights zero, " if prunes else ""
    print_line(
        f"{out}: {totals.layers} layers, {zeros}"
        f"{totals.bits_per_weight:.2f} bits per weight (compression.json has every layer)"
    )
    print_line(
        f"{written:,} bytes of weights on disk; ideal storage, with uncompressed numbers at 16 bits: "
        f"{totals.compressed_model_size_bytes:,} bytes ({totals.dense_model_size_bytes:,} dense)"
    )
