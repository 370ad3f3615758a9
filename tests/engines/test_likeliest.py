"""Arms against what the dense model kept: a lower bound, for the same tokens and vocabulary only, or an error."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from crushtest.engines import load_engine
from crushtest.engines.base import Reference
from crushtest.engines.hf.kept_top_k import KeptTokens
from crushtest.errors import StoreError
from crushtest.models.load import LoadedModel
from crushtest.records import Passage, PassageScore
from support.tiny_models import SENTENCES, loaded, tokenizer

# Two passages that share a beginning and one that is cut into windows, without and with their beginnings predicted.
TEXTS = [*SENTENCES, SENTENCES[0][:40], " ".join(SENTENCES), ""]
PASSAGES = [Passage(text, 30, against_dense=True) for text in TEXTS]
PASSAGES += [Passage(" ".join(SENTENCES), 32, "sliding", stride=8, against_dense=True)]
K = 16


def kept(folder: Path, k: int = K, kind: str = "llama", done: Container[int] = (), pack: int = 64) -> KeptTokens:
    """What the dense model of seed 0 keeps."""
    files = KeptTokens(folder, k)
    engine = load_engine(loaded(kind), pack_tokens=pack)
    engine.attach_reference(Reference(load=None, top_k=k, folder=folder, keep=True))
    for index, score in engine.passages(PASSAGES, done=done):
        assert (score.kl, score.agree) == ((0.0,) * score.tokens, score.tokens), index
    return files


def compared(
    dense: KeptTokens | LoadedModel, arm: LoadedModel, *, done: Container[int] = (), pack: int = 48
) -> Mapping[int, PassageScore]:
    engine = load_engine(arm, pack_tokens=pack)
    engine.attach_reference(reference(dense))
    return dict(engine.passages(PASSAGES, done=done))


def reference(dense: KeptTokens | LoadedModel) -> Reference:
    if isinstance(dense, LoadedModel):
        return Reference(load=lambda: dense, top_k=None, folder=Path(), keep=False)
    load = partial(pytest.fail, "a second model was loaded")
    return Reference(load=load, top_k=dense.k, folder=dense.folder, keep=False)


def test_a_dense_model_is_loaded_once_until_it_is_detached() -> None:
    loads: list[LoadedModel] = []
    engine = load_engine(loaded(seed=1))
    whole = Reference(load=lambda: loads.append(loaded()) or loads[-1], top_k=None, folder=Path(), keep=False)  # type: ignore[func-returns-value]
    for _ in range(2):
        engine.attach_reference(whole)
        assert dict(engine.passages(PASSAGES[:1]))[0].agree is not None
    assert len(loads) == 1
    engine.attach_reference(None)
    assert dict(engine.passages(PASSAGES[:1]))[0].agree is None


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_the_exact_divergence_of_two_models_is_above_the_bound(kind: str, tmp_path: Path) -> None:
    arm = loaded(kind, seed=1)
    exact, bounded = compared(loaded(kind), arm), compared(kept(tmp_path, kind=kind), arm)
    for index, score in bounded.items():
        assert score.kl is not None
        assert len(score.kl) == score.tokens
        assert (score.logprob, score.agree) == (exact[index].logprob, exact[index].agree)
        if score.tokens:
            assert all(low <= true + 1e-4 for low, true in zip(score.kl, exact[index].kl or (), strict=True))
            assert sum(score.kl) < sum(exact[index].kl or ())


@pytest.mark.parametrize("pack", [16, 48, 2048])
def test_all_tokens_kept_give_the_exact_divergence_token_by_token(pack: int, tmp_path: Path) -> None:
    arm = loaded(seed=1)
    files = kept(tmp_path, k=len(tokenizer()) + 1)
    exact, bounded = compared(loaded(), arm, pack=pack), compared(files, arm, pack=pack)
    for index, score in bounded.items():
        assert score.kl == pytest.approx(exact[index].kl, rel=1e-3, abs=1e-4)
    assert len({score.tokens for score in bounded.values()}) > 3


def test_interrupted_what_is_kept_is_the_same_to_the_byte(tmp_path: Path) -> None:
    whole = {path.name: path.read_bytes() for path in kept(tmp_path / "whole").folder.iterdir()}
    files = kept(tmp_path / "parts", done={1, 3, 5, 6, 7})
    assert len(list(files.folder.iterdir())) == 3
    kept(files.folder, done={0, 2, 4})
    assert {path.name: path.read_bytes() for path in files.folder.iterdir()} == whole


def test_interrupted_comparisons_give_the_same_numbers(tmp_path: Path) -> None:
    files, arm = kept(tmp_path), loaded(seed=1)
    whole = compared(files, arm)
    assert compared(files, arm, done={0, 4, 5}) == {i: score for i, score in whole.items() if i not in {0, 4, 5}}


def test_a_token_takes_516_bytes(tmp_path: Path) -> None:
    files = kept(tmp_path, k=64)
    tokens = load_engine(loaded()).passages(PASSAGES[5:6])
    size = files.path(PASSAGES[5]).stat().st_size
    assert 0 <= size - 516 * next(score.tokens for _, score in tokens) < 1000


def test_other_tokens_or_another_vocabulary_are_not_compared(tmp_path: Path) -> None:
    files = kept(tmp_path)
    larger = loaded(seed=1, vocab_size=len(tokenizer()) + 8)
    other = loaded(seed=1)
    other = replace(other, tokenizer=shifted())
    for arm in (larger, other):
        assert {score.kl for score in compared(files, arm).values()} == {None}


def shifted() -> object:
    """The tokenizer, with another token in front of a text."""
    made = tokenizer()
    made.bos_token = "</s>"
    return made


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda path: path.unlink(),
            "is missing: the dense model's most probable tokens for a passage; remove",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be read"),
    ],
)
def test_files_that_are_gone_or_damaged_are_an_error(damage: object, says: str, tmp_path: Path) -> None:
    files = kept(tmp_path)
    damage(files.path(PASSAGES[2]))  # type: ignore[operator]
    with pytest.raises(StoreError, match=says):
        compared(files, loaded(seed=1))


def test_files_of_another_k_are_an_error(tmp_path: Path) -> None:
    files = kept(tmp_path)
    with pytest.raises(StoreError, match="holds 16 candidates per token, but 32 are needed; remove"):
        compared(replace(files, k=32), loaded(seed=1))
