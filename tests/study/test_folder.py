from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import polars as pl
import pytest

from crushtest.errors import StoreError
from crushtest.records import Choices, ChoiceScores, Completion, Item, Passage, PassageScore, Prompt, Score
from crushtest.study.folder import StudyFolder

HOSTILE = "</script>\u2028\x00\U0001f600\u202egnp.exe \\ \" '"


def completions(folder: Path) -> object:
    return StudyFolder(folder).answers("dense", "toy", "prompts")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("choices", ChoiceScores((-1.25, -0.1 - 0.2), (2, 3), (5, 7))),
        ("passages", PassageScore(-123.456789012345, 40, 200)),
        ("prompts", Completion(HOSTILE, 7, "length")),
    ],
)
def test_an_answer_comes_back_exactly_before_and_after_the_finish(tmp_path: Path, kind: str, answer: object) -> None:
    log = StudyFolder(tmp_path).answers("wanda:sparsity=0.5", "toy", kind)
    log.append("a/0", answer)
    assert StudyFolder(tmp_path).answers("wanda:sparsity=0.5", "toy", kind).read() == {"a/0": answer}
    log.finish(["a/0"])
    assert log.complete
    assert not log.running.exists()
    assert log.read() == {"a/0": answer}


def test_a_torn_last_line_is_cut_and_the_others_kept(tmp_path: Path) -> None:
    log = completions(tmp_path)
    log.append("0", Completion("whole", 1, "eos"))
    log.append("1", Completion("torn", 1, "eos"))
    log.close()
    content = log.running.read_bytes()
    for cut in range(len(content)):
        log.running.write_bytes(content[:cut])
        resumed = completions(tmp_path)
        kept = {"0": Completion("whole", 1, "eos")} if content[:cut].count(b"\n") > 1 else {}
        assert resumed.read() == kept
        resumed.append("1", Completion("again", 1, "eos"))
        resumed.close()
        assert resumed.read() == {**kept, "1": Completion("again", 1, "eos")}
        assert log.running.read_bytes().startswith(content[: content.index(b"\n") + 1])


def test_unfinished_answers_in_anothers_place_are_refused_and_older_read(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    one, other = (folder.answers(arm, "toy", "prompts") for arm in ("a", "b"))
    for log in (one, other):
        log.append("0", Completion("x", 1, "eos"))
        log.close()
    lines = one.running.read_bytes()
    other.running.write_bytes(lines)
    with pytest.raises(StoreError, match=r"b.answers.toy\.jsonl is of another place \(.*'arm': 'a'"):
        other.read()
    other.running.write_bytes(lines.partition(b"\n")[2])
    other.append("1", Completion("y", 1, "eos"))
    assert list(other.read()) == ["0", "1"]


def test_answers_opened_again_say_whose_they_are(tmp_path: Path) -> None:
    log = completions(tmp_path)
    log.append("0", Completion("x", 1, "eos"))
    lines = log.running.read_bytes()
    log.finish(["0"])
    log.reopen()
    assert log.running.read_bytes() == lines


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    log = completions(tmp_path)
    for item in "abc":
        log.append(item, Completion(item, 1, "eos"))
    log.close()
    lines = log.running.read_text().splitlines()
    log.running.write_text("\n".join([lines[0], lines[1], lines[2][:9], lines[3]]) + "\n")
    with pytest.raises(StoreError, match="line 3 is not JSON"):
        completions(tmp_path).read()


def test_the_final_file_does_not_depend_on_the_order_of_answers(tmp_path: Path) -> None:
    answers = {str(n): Completion(f"text {n}", n, "eos") for n in range(50)}
    content = []
    for name, order in (("one", list(answers)), ("two", list(reversed(answers)))):
        log = completions(tmp_path / name)
        for item in order:
            log.append(item, answers[item])
        log.finish(list(answers))
        content.append(log.final.read_bytes())
    assert content[0] == content[1]


def test_a_log_with_a_missing_item_is_not_finished(tmp_path: Path) -> None:
    log = completions(tmp_path)
    log.append("0", Completion("x", 1, "eos"))
    with pytest.raises(StoreError, match="1 items have no record, the first is '1'"):
        log.finish(["0", "1"])
    assert not log.complete
    assert list(log.read()) == ["0"]


def test_items_come_back_as_they_were(tmp_path: Path) -> None:
    items = [
        Item("c", ("a=1", "b=2"), "t", Choices("Q", (" x", " y"), chat=True), 1, {"biased": None, "x": [1]}),
        Item("p", (), "t", Passage("text", window=64)),
        Item("q", (), "t", Passage(HOSTILE)),
        Item("r", (), "t", Prompt(HOSTILE)),
    ]
    folder = StudyFolder(tmp_path)
    folder.write_items("toy", items)
    assert folder.read_items("toy") == items
    folder.write_items("toy", items)
    with pytest.raises(StoreError, match=r"other items of 'toy' \(4 then, 3 now\)"):
        folder.write_items("toy", items[1:])


@pytest.mark.parametrize("name", ["../../escape", "a/b", "..", ".", "org/model", "hf:org/x#LABEL", "x\x00y"])
def test_a_name_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    folder = StudyFolder(tmp_path)
    path = folder.arm(name)
    assert path.parent == tmp_path / "arms"
    assert path.resolve().parent == (tmp_path / "arms").resolve()


def test_scores_keep_their_reasons(tmp_path: Path) -> None:
    log = StudyFolder(tmp_path).scores("dense", "hf:org/x#LABEL", "toy")
    log.append("0", Score(0.25))
    log.append("1", Score(None, "empty completion"))
    log.finish(["0", "1"])
    assert log.read() == {"0": Score(0.25), "1": Score(None, "empty completion")}


def test_a_folder_that_is_no_study_says_so_and_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "study.yaml").write_text("model: demo\n")
    with pytest.raises(StoreError, match=r"it has no study.yaml \(studies beside it: demo\)"):
        StudyFolder.existing(tmp_path / "dmeo")


def hold(folder: Path, held: object, release: object) -> None:
    with StudyFolder(folder).locked():
        held.set()
        release.wait(30)


def test_two_runs_cannot_write_to_one_study(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(StoreError, match="another run"), StudyFolder(tmp_path).locked():
            pass
    finally:
        release.set()
        other.join()
    with StudyFolder(tmp_path).locked():
        pass


@pytest.mark.parametrize("command", ["report", "card"])
def test_what_writes_into_a_study_waits_for_nobody_and_says_who_holds_it(tmp_path: Path, command: str) -> None:
    from crushtest.cli.app import app

    (tmp_path / "study.yaml").write_text("model: demo\n")
    with StudyFolder(tmp_path).locked(), pytest.raises(StoreError, match="another run is writing to this study"):
        app([command, str(tmp_path)], standalone_mode=False)


def test_a_model_half_saved_inside_a_study_does_not_block_it(tmp_path: Path) -> None:
    model, table = tmp_path / ".model.x1.partial" / "model.safetensors", tmp_path / "items" / ".toy.parquet.1.partial"
    for path in (model, table):
        path.parent.mkdir()
        path.touch()
    with StudyFolder(tmp_path).locked():
        assert model.exists()  # whoever saves it may be at work still
        assert not table.exists()


DAMAGED = (b"", b"PAR1 cut in the middle")


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("table", ["estimates", "contrasts", "noise"])
def test_a_damaged_table_of_results_says_how_to_make_it_anew(tmp_path: Path, table: str, content: bytes) -> None:
    folder = StudyFolder(tmp_path)
    (tmp_path / f"{table}.parquet").write_bytes(content)
    read = {"estimates": folder.read_estimates, "contrasts": folder.read_contrasts, "noise": folder.read_bands}[table]
    with pytest.raises(StoreError, match=rf"{table}\.parquet cannot be read \(.*run `crushtest compare"):
        read()


@pytest.mark.parametrize("content", DAMAGED)
def test_a_study_with_damaged_estimates_is_not_finished(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "estimates.parquet").write_bytes(content)
    assert not StudyFolder(tmp_path).results.are_sound()


def test_results_of_another_version_say_so(tmp_path: Path) -> None:
    pl.DataFrame({"arm": ["dense"], "colour": ["red"]}).write_parquet(tmp_path / "estimates.parquet")
    with pytest.raises(StoreError, match=r"no table of estimates .*unknown column 'colour'.*run `crushtest compare"):
        StudyFolder(tmp_path).read_estimates()


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_items_and_answers_are_named(tmp_path: Path, content: bytes) -> None:
    folder = StudyFolder(tmp_path)
    log = folder.answers("dense", "toy", "choices")
    for path in (folder.items_path("toy"), log.final):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"toy\.parquet cannot be read .*remove it and run the study again"):
        folder.read_items("toy")
    with pytest.raises(StoreError, match=r"toy\.parquet cannot be read .*remove it and run the study again"):
        folder.write_items("toy", [])
    with pytest.raises(StoreError, match=r"toy\.parquet cannot be read .*remove it and its items are asked again"):
        log.read()


def test_lines_are_json_that_other_tools_read(tmp_path: Path) -> None:
    log = StudyFolder(tmp_path).answers("dense", "toy", "choices")
    log.append("Age/0", ChoiceScores((-1.5,), (1,), (4,)))
    log.close()
    first, line = map(json.loads, log.running.read_text().splitlines())
    assert first == {"log": {"kind": "answers", "arm": "dense", "repeat": 0, "task": "toy"}}
    assert line == {"item": "Age/0", "logprobs": [-1.5], "tokens": [1], "bytes": [4], "token_digest": None}


def test_lines_left_beside_their_final_file_are_removed_and_never_read(tmp_path: Path) -> None:
    log = completions(tmp_path)
    log.append("0", Completion("x", 1, "eos"))
    lines = log.running.read_bytes()
    log.finish(["0"])
    # Killed between the two: the final file is in its place, the lines are there still.
    log.running.write_bytes(lines + lines.replace(b'"0"', b'"1"'))
    assert list(completions(tmp_path).read()) == ["0"]
    with StudyFolder(tmp_path).locked():
        assert not log.running.exists()
    assert list(completions(tmp_path).read()) == ["0"]
    with pytest.raises(AssertionError, match="would not be read"):
        completions(tmp_path).append("1", Completion("y", 1, "eos"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"text": "x", "tokens": 1, "stop": "eos"}', "text, tokens, stop"),
        ('{"item": "1", "text": "x", "tokens": 1}', "item, text, tokens"),
        ('{"item": "1", "logprob": -1.0, "tokens": 1, "bytes": 2}', "item, logprob, tokens, bytes"),
        ("[1]", "no object"),
        ("{}", "no fields"),
    ],
)
def test_a_line_of_another_kind_is_an_error_that_names_it(tmp_path: Path, line: str, found: str) -> None:
    log = completions(tmp_path)
    log.append("0", Completion("x", 1, "eos"))
    log.close()
    log.running.write_text(log.running.read_text() + line + "\n")
    with pytest.raises(StoreError) as caught:
        completions(tmp_path).read()
    needs = "it needs item, text, tokens, stop, reason, token_digest"
    assert f"line 3 is not a record of this log (it has {found}, {needs})" in str(caught.value)


def test_a_final_file_of_another_kind_is_an_error_that_names_it(tmp_path: Path) -> None:
    scores = StudyFolder(tmp_path).scores("dense", "sentiment", "toy")
    scores.append("0", Score(0.5))
    scores.finish(["0"])
    log = completions(tmp_path)
    log.final.parent.mkdir(parents=True)
    log.final.write_bytes(scores.final.read_bytes())
    with pytest.raises(StoreError, match=r"toy\.parquet is of another kind \('scores'\) than .* \('answers'\)"):
        log.read()
    log.final.write_bytes(b"not a table")
    with pytest.raises(StoreError, match=r"toy\.parquet cannot be read"):
        log.read()
