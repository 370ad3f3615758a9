"""The items shown as changed are those that changed, the largest first, each with both answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.metrics import choice
from crushtest.records import DENSE, Choices, ChoiceScores, Completion, Item, Prompt, Score
from crushtest.report.page import changed_answers
from crushtest.report.study_view import StudyView, read_study
from crushtest.study.folder import StudyFolder


@pytest.fixture
def view(study: StudyFolder) -> StudyView:
    return read_study(study)


def rows(view: StudyView, task: str) -> list[tuple[str, str, list[object]]]:
    """(arm, item, row) of every change that the page shows of a task."""
    data = changed_answers.find_changes(view).data
    found = next(entry for entry in data["tasks"] if entry["name"] == task)
    return [(data["arms"][row[0]], found["items"][row[1]]["id"], row) for row in found["rows"]]


def test_questions_that_changed_are_those_whose_choice_flipped(view: StudyView) -> None:
    shown = {(arm, item) for arm, item, _ in rows(view, "probe_qa")}
    dense = view.folder.answers(DENSE, "probe_qa", "choices").read()
    expected = {
        (arm.name, item)
        for arm in view.others
        for item, answer in view.folder.answers(arm.name, "probe_qa", "choices").read().items()
        if choice(answer) != choice(dense[item])
    }
    assert shown == expected


def test_flips_agree_with_contrasts(view: StudyView) -> None:
    contrast = view.contrast("magnitude:sparsity=0.5", "probe_facts", "accuracy")
    assert contrast is not None
    mine = [row for arm, _, row in rows(view, "probe_facts") if arm == "magnitude:sparsity=0.5"]
    outcomes = [change for row in mine for label, change, _ in row[4] if label == "accuracy"]  # type: ignore[attr-defined]
    assert len(mine) == contrast.flips.total
    assert (outcomes.count(1), outcomes.count(-1)) == (contrast.flips.up, contrast.flips.down)


def test_the_largest_change_of_each_arm_comes_first(view: StudyView) -> None:
    for arm in view.others:
        sizes = [row[3] for name, _, row in rows(view, "probe_qa") if name == arm.name]
        assert sizes == sorted(sizes, reverse=True)  # type: ignore[type-var]


def test_an_unfinished_pair_has_no_rows(view: StudyView) -> None:
    assert "wanda:pattern=2:4" not in {arm for arm, _, _ in rows(view, "probe_prompts")}


def test_a_page_that_cannot_hold_all_says_how_many_there_are(view: StudyView, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = changed_answers.find_changes(view)
    assert whole.shown == whole.total
    monkeypatch.setattr(changed_answers, "MOST_ROWS", 100)
    fewer = changed_answers.find_changes(view)
    assert fewer.total == whole.total
    assert 0 < fewer.shown < whole.shown
    monkeypatch.setattr(changed_answers, "MOST_BYTES", 20_000)
    assert 0 < changed_answers.find_changes(view).shown < fewer.shown


def small(
    root: Path,
    items: list[Item],
    kind: str,
    task: str,
    answers: dict[str, list[object]],
    scores: dict[str, list[Score]],
) -> StudyView:
    """A study of dense and one arm with exactly these answers."""
    folder = StudyFolder(root)
    root.mkdir()
    folder.specification.write_text(f"model: demo\narms: ['magnitude:sparsity=0.5']\nsuite: [{task}]\n")
    folder.write_items(task, items)
    for arm, given in answers.items():
        log = folder.answers(arm, task, kind)  # type: ignore[arg-type]
        for item, answer in zip(items, given, strict=True):
            log.append(item.id, answer)
        log.finish([item.id for item in items])
        for scorer in ("profanity", "sentiment") if scores else ():
            marks = folder.scores(arm, scorer, task)
            for item, score in zip(items, scores[arm], strict=True):
                marks.append(item.id, score)
            marks.finish([item.id for item in items])
    folder.write_results([], [])
    view = read_study(folder)
    object.__setattr__(view, "compared", frozenset({("magnitude:sparsity=0.5", task)}))
    return view


def test_tied_options_chose_nothing_so_nothing_changed(tmp_path: Path) -> None:
    items = [Item("a/0", (), "c", Choices("Q:", (" x", " y")), 0)]
    tie, second = ChoiceScores((-1.0, -1.0), (1, 1), (2, 2)), ChoiceScores((-2.0, -1.0), (1, 1), (2, 2))
    answers: dict[str, list[object]] = {"dense": [tie], "magnitude:sparsity=0.5": [second]}
    view = small(tmp_path / "s", items, "choices", "probe_facts", answers, {})
    assert list(rows(view, "probe_facts")) == []


def test_texts_that_are_harmful_or_unscored_are_blurred_and_others_not(tmp_path: Path) -> None:
    items = [Item(f"a/{number}", (), "c", Prompt("They said")) for number in range(5)]
    answers: dict[str, list[object]] = {
        "dense": [Completion(" one", 1, "length")] * 5,
        "magnitude:sparsity=0.5": [
            *(Completion(f" two {number}", 1, "length") for number in range(4)),
            Completion("", 0, "eos"),
        ],
    }
    scores = {
        "dense": [Score(0.1), Score(0.9), Score(0.1), Score(0.1), Score(0.1)],
        "magnitude:sparsity=0.5": [
            Score(0.2),
            Score(0.2),
            Score(0.7),
            Score(None, "no word known"),
            Score(None, "empty"),
        ],
    }
    view = small(tmp_path / "s", items, "prompts", "probe_prompts", answers, scores)
    blurred = {item: row[5] for _, item, row in rows(view, "probe_prompts")}
    assert blurred == {"a/0": 0, "a/1": 1, "a/2": 2, "a/3": 2, "a/4": 0}
