"""Studies that compare arms with tokens the dense model kept: one model in memory, and a lower bound of KL."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from crushtest.engines.hf.kept_top_k import KeptTokens
from crushtest.errors import StoreError
from crushtest.files.append_log import AppendLog
from crushtest.pipeline import prepare
from crushtest.pipeline.run import run_study
from crushtest.records import DENSE
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import StudySpec, build_spec
from support.tiny_models import SENTENCES, network, tokenizer

ARM = "magnitude:sparsity=0.5"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a model and texts."""
    network().save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in SENTENCES))
    return tmp_path


def spec(made: Path, *recipes: str, divergence: object = "top_k", **settings: Any) -> StudySpec:
    suite = [{"custom_text": {"path": str(made / "texts.jsonl"), "window": 40, "divergence": divergence}}]
    content = {"model": str(made / "model"), "arms": list(recipes), "suite": suite, "device": "cpu", **settings}
    return build_spec(content, where="test")


def values(out: Path, arm: str) -> dict[str, float | None]:
    rows = StudyFolder(out).read_estimates()
    return {row.metric: row.value for row in rows if (row.arm, row.group) == (arm, "all")}


def files(out: Path) -> dict[str, bytes]:
    kept = [*out.rglob("*.safetensors"), *out.rglob("*.parquet")]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def test_the_bound_is_below_what_both_models_in_memory_give(made: Path) -> None:
    run_study(spec(made, ARM), made / "bounded")
    run_study(spec(made, ARM, divergence=True), made / "exact")
    bounded, exact = values(made / "bounded", ARM), values(made / "exact", ARM)
    assert 0 < bounded["kl_mean_at_least"] < exact["kl_mean"]  # type: ignore[operator]
    assert bounded["kl_p99_at_least"] < exact["kl_p99"]  # type: ignore[operator]
    assert 0 < exact["top1_agreement"] < 1  # type: ignore[operator]
    assert bounded["top1_agreement"] == exact["top1_agreement"]
    assert not {"kl_mean", "kl_p99"} & bounded.keys()
    dense = values(made / "bounded", DENSE)
    assert (dense["kl_mean_at_least"], dense["kl_p99_at_least"], dense["top1_agreement"]) == (0.0, 0.0, 1.0)
    rows = [row for row in StudyFolder(made / "bounded").read_contrasts() if row.group == "all"]
    (at_least,) = (row for row in rows if row.metric == "kl_mean_at_least")
    assert (at_least.dense, at_least.value) == (0.0, bounded["kl_mean_at_least"])
    page = (made / "bounded" / "report.html").read_text()
    assert "KL, at least" in page


def test_no_second_model_is_loaded(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = prepare.load_base
    monkeypatch.setattr(prepare, "load_base", lambda *given: loads.append(given[2]) or load(*given))  # type: ignore[func-returns-value]
    run_study(spec(made, ARM), made / "bounded")
    assert loads == [DENSE, ARM]
    run_study(spec(made, ARM, divergence=True), made / "exact")
    assert loads[2:] == [DENSE, ARM, f"{ARM} · dense"]


@pytest.mark.parametrize("after", [1, 6])
def test_a_study_that_was_stopped_ends_with_the_same_files(
    after: int, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec(made, ARM), made / "whole")
    append, count = AppendLog.append, 0

    def stop(self: Any, item: str, record: Any) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise KeyboardInterrupt
        append(self, item, record)

    monkeypatch.setattr(AppendLog, "append", stop)
    with pytest.raises(KeyboardInterrupt):
        run_study(spec(made, ARM), made / "parts")
    monkeypatch.undo()
    run_study(spec(made, ARM), made / "parts")
    assert files(made / "parts") == files(made / "whole")
    assert len(list((made / "parts" / "arms" / DENSE / "likeliest" / "custom_text").iterdir())) == len(SENTENCES)


def test_an_arm_added_later_is_compared_and_needs_the_files(made: Path) -> None:
    run_study(spec(made), made / "s")
    shutil.copytree(made / "s", made / "without")
    run_study(spec(made, ARM), made / "s")
    assert values(made / "s", ARM)["kl_mean_at_least"]
    shutil.rmtree(made / "without" / "arms" / DENSE / "likeliest")
    with pytest.raises(StoreError, match=r"is missing: .* remove the dense arm's answers to this task"):
        run_study(spec(made, ARM), made / "without")
    # What the message says helps.
    shutil.rmtree(made / "without" / "arms" / DENSE / "answers")
    run_study(spec(made, ARM), made / "without")
    assert files(made / "without") == files(made / "s")


@pytest.mark.parametrize("vary", [[], ["dtype=bfloat16"]])
def test_repeats_of_the_dense_arm_leave_the_files_alone(
    vary: list[str], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec(made), made / "s")
    monkeypatch.delattr(KeptTokens, "write")
    run_study(spec(made, noise_floor={"repeats": 1, "vary": vary}), made / "s")
    bands = {band.metric: band.half_width for band in StudyFolder(made / "s").read_bands()}
    assert bands["kl_mean_at_least"] is None


def test_an_arm_of_other_tokens_has_no_divergence_and_says_why(made: Path) -> None:
    network(seed=1, vocab_size=len(tokenizer()) + 8).save_pretrained(made / "other")
    tokenizer().save_pretrained(made / "other")
    study = spec(made).model_copy(
        update={"arms": build_spec({"model": "m", "arms": [{"model": str(made / "other")}]}, where="").arms}
    )
    run_study(study, made / "s")
    rows = {row.metric: row for row in StudyFolder(made / "s").read_estimates() if row.arm == str(made / "other")}
    for metric in ("kl_mean_at_least", "kl_p99_at_least", "top1_agreement"):
        assert rows[metric].value is None
        assert rows[metric].reason
    assert "a vocabulary of another size" in str(rows["kl_mean_at_least"].reason)
    assert rows["perplexity"].value


def test_a_dense_arm_of_another_engine_keeps_nothing_and_says_so(made: Path) -> None:
    arm = {"name": "here", "model": str(made / "model"), "engine": "hf"}
    content = spec(made).model_dump() | {"model": "fake", "engine": "fake", "arms": [arm]}
    run_study(build_spec(content, where="test"), made / "s")
    rows = {row.metric: row for row in StudyFolder(made / "s").read_estimates() if row.arm == "here"}
    assert rows["kl_mean_at_least"].value is None
    assert "another engine" in str(rows["kl_mean_at_least"].reason)
