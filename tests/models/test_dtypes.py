"""A checkpoint's own dtype, and whether this processor computes in bfloat16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from crushtest.models.checkpoint import Checkpoint
from crushtest.models.dtypes import computes_in_bfloat16, config_dtype, gguf_dtype, loaded_dtype
from crushtest.models.gguf_header import GgufHeader, StoredTensor
from support.tiny_models import network


def header(kind: str) -> GgufHeader:
    tensors = (StoredTensor("norm", "F32", 10, 40), StoredTensor("weight", kind, 1000, 1000))
    return GgufHeader(**{**dict.fromkeys(GgufHeader.__dataclass_fields__, ""), "tensors": tensors})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "computes"),
    [
        (["fpu sse2 avx512_bf16"], True),
        (["amx_bf16 amx_tile"], True),
        (["fpu avx512f avx512_fp16"], False),
        (["avx512_bf16", "avx512_bf16"], True),
        (["avx512_bf16", "avx2"], False),
        ([], False),
    ],
)
def test_bfloat16_instructions_are_those_of_all_processors(tmp_path: Path, flags: list[str], computes: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "".join(f"processor\t: {n}\nflags\t\t: {each}\nbugs\t: avx512_bf16\n\n" for n, each in enumerate(flags))
    )
    assert computes_in_bfloat16(cpuinfo) is computes


def test_a_machine_without_cpuinfo_is_not_said_to_compute_in_bfloat16(tmp_path: Path) -> None:
    assert not computes_in_bfloat16(tmp_path / "none")


@pytest.mark.parametrize(
    ("kind", "dtype"), [("F32", "float32"), ("F16", "float16"), ("BF16", "bfloat16"), ("Q4_K", "bfloat16")]
)
def test_a_gguf_files_own_dtype_is_that_of_its_weights(kind: str, dtype: str) -> None:
    assert gguf_dtype(header(kind)) == dtype
    file = Checkpoint(Path(), (), "gguf", gguf="x.gguf", header=header(kind))
    assert loaded_dtype("gguf", file, "auto") == getattr(torch, dtype)
    assert loaded_dtype("gguf", file, "float16") == torch.float16


def test_only_what_says_no_dtype_of_its_own_is_decided_here() -> None:
    folder = Checkpoint(Path(), (), "safetensors")
    assert loaded_dtype("folder", folder, "auto") == "auto"
    assert loaded_dtype("demo", folder, "auto") == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", None])
def test_a_configs_dtype_is_read(dtype: str | None) -> None:
    config = network("llama").config
    config.dtype = None if dtype is None else getattr(torch, dtype)
    assert config_dtype(config) == dtype
