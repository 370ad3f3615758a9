"""What agents are told of stored studies is what `query` and `gate` say, short, marked, and written by nobody new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crushtest import gate
from crushtest.errors import CrushtestError, StoreError, UsageError
from crushtest.files.regular import sha256
from crushtest.pipeline.stored import LONGEST, MEANINGS, MOST_EXAMPLES, UNTRUSTED, Stored, stored
from crushtest.report.untrusted import HIDDEN
from crushtest.stats.verdicts import VERDICTS
from crushtest.study.folder import StudyFolder
from crushtest.study.query import ask
from support import synthetic_study

ARM, TASK = "magnitude:sparsity=0.5", "probe_qa"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study in `plain`, one full of hostile texts in `hostile`, and a study file that was never run."""
    root = tmp_path_factory.mktemp("stored")
    with synthetic_study.stand_ins() as names:
        for name in ("plain", "hostile"):
            synthetic_study.build(root / name, names[:3], hostile=name == "hostile", size=48, replicates=50)
        (root / "never" / "run").mkdir(parents=True)
        (root / "never" / "run" / "study.yaml").write_text("model: demo\n")
        yield root


@pytest.fixture
def studies(root: Path) -> Stored:
    return stored(root)


def rows(root: Path, where: str) -> list[dict[str, Any]]:
    found = ask(StudyFolder(root / "plain"), f"SELECT * FROM contrasts WHERE {where}").to_dicts()
    return [{column: value for column, value in row.items() if value is not None} for row in found]


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ({}, "\"group\" = 'all' AND against = 'dense'"),
        ({"arm": ARM, "group": None}, f"arm = '{ARM}' AND against = 'dense'"),
        ({"task": TASK, "verdict": "worse", "group": None, "against": None}, f"task = '{TASK}' AND verdict = 'worse'"),
        ({"metric": "accuracy", "group": "age=old"}, "metric = 'accuracy' AND \"group\" = 'age=old'"),
    ],
)
def test_contrasts_are_the_rows_of_query(studies: Stored, root: Path, wanted: dict[str, Any], where: str) -> None:
    told = studies.contrasts("plain", **wanted, limit=500)
    assert told["rows"] == rows(root, where)[:500]
    assert len(told["rows"]) + told["left_out"] == len(rows(root, where))


def test_what_a_limit_leaves_out_is_counted(studies: Stored, root: Path) -> None:
    told = studies.contrasts("plain", limit=2)
    assert len(told["rows"]) == 2
    assert told["left_out"] == len(rows(root, "\"group\" = 'all' AND against = 'dense'")) - 2


def test_the_gate_says_what_the_command_says(studies: Stored, root: Path) -> None:
    told = studies.gate("plain", "strict")
    command = json.loads(json.dumps(gate.as_json(gate.run_gate(root / "plain", "strict"))))
    assert {key: value for key, value in told.items() if key not in ("note", "study")} == {
        key: value for key, value in command.items() if key != "study"
    }


def test_only_studies_that_were_run_are_listed(studies: Stored) -> None:
    listed = studies.list_studies()["studies"]
    assert [each["study"] for each in listed] == ["hostile", "plain"]
    assert listed[1]["arms"][:2] == ["dense", "magnitude:sparsity=0.1"]
    assert listed[1]["tasks"][0] == {"task": TASK, "dimension": "representational harm"}


def test_a_single_study_is_its_own_list(root: Path) -> None:
    assert [each["study"] for each in stored(root / "plain").list_studies()["studies"]] == ["."]


@pytest.mark.parametrize(("task", "metric"), [(TASK, "accuracy_ambiguous"), ("probe_prompts", "profanity_rate")])
def test_why_shows_the_row_and_items_that_changed(studies: Stored, root: Path, task: str, metric: str) -> None:
    told = studies.why("plain", ARM, task, metric, examples=MOST_EXAMPLES + 5)
    where = f"arm = '{ARM}' AND task = '{task}' AND metric = '{metric}' AND \"group\" = 'all' AND against = 'dense'"
    assert [told["row"]] == rows(root, where)
    assert told["verdict_means"] == MEANINGS[told["row"]["verdict"]]
    examples = told["untrusted"]["examples"]
    assert 1 <= len(examples) <= MOST_EXAMPLES
    assert all(each["dense"] != each[ARM] for each in examples)


def test_examples_are_of_the_group_that_is_asked_about(studies: Stored) -> None:
    whole = studies.why("plain", ARM, TASK, "accuracy_ambiguous_worst", group="age", examples=MOST_EXAMPLES)
    groups = {group for example in whole["untrusted"]["examples"] for group in example["groups"]}
    assert groups
    assert all(group.startswith("age=") for group in groups)
    [group, *_] = sorted(groups)
    single = studies.why("plain", ARM, TASK, "accuracy_ambiguous", group=group)["untrusted"]["examples"]
    assert single
    assert all(group in example["groups"] for example in single)


def test_every_verdict_has_a_meaning() -> None:
    assert set(MEANINGS) == VERDICTS


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from (*texts(key), *texts(each))
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def test_texts_of_models_are_marked_short_and_visible(studies: Stored) -> None:
    told = [
        studies.list_studies(),
        studies.contrasts("hostile", group=None, limit=500),
        studies.gate("hostile"),
        *(
            studies.why("hostile", ARM, task, metric, examples=MOST_EXAMPLES)
            for task, metric in ((TASK, "accuracy_ambiguous"), ("probe_prompts", "empty_rate"))
        ),
    ]
    assert all(UNTRUSTED in (each.get("note"), each.get("untrusted", {}).get("note")) for each in told)
    found = [text for each in told for text in texts(each)]
    assert any("more characters in the study's files" in text for text in found)
    assert max(map(len, found)) <= LONGEST + 60
    assert not [text for text in found if HIDDEN.search(text)]


def test_nothing_is_written(studies: Stored, root: Path) -> None:
    def content() -> dict[str, str]:
        return {str(path): sha256(path.read_bytes()) for path in root.rglob("*") if path.is_file()}

    before = content()
    studies.list_studies()
    studies.contrasts("plain")
    studies.gate("plain")
    studies.why("plain", ARM, TASK, "accuracy_ambiguous")
    assert content() == before


@pytest.mark.parametrize("study", ["gone", "../plain", "/etc", "never/run", ""])
def test_only_a_listed_study_is_read(studies: Stored, study: str) -> None:
    with pytest.raises(UsageError, match="unknown study"):
        studies.contrasts(study)


def test_no_policy_is_read_but_the_ready_made_and_the_users_own(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("rules: [{metric: accuracy_ambiguous, margin: 1, min_items: 1, min_clusters: 1}]")
    with pytest.raises(UsageError, match="unknown policy"):
        stored(root).gate("plain", str(own))
    assert stored(root, str(own)).gate("plain")["policy"] == str(own)


def test_a_damaged_study_is_an_error_and_not_a_number(root: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(root / "plain", tmp_path / "plain")
    (tmp_path / "plain" / "estimates.parquet").write_bytes(b"PAR1")
    with pytest.raises(CrushtestError, match=r"estimates\.parquet"):
        stored(tmp_path).contrasts("plain")


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no study"):
        stored(tmp_path)
    with pytest.raises(StoreError, match="is no folder"):
        stored(tmp_path / "gone")
