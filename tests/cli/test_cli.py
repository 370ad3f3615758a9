"""The commands as a user types them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crushtest.cli.interrupted import Terminated
from crushtest.data import status as data_status
from crushtest.pipeline.cost import dry_run
from support.in_process import crushtest

SUITE = "probe_facts,probe_text"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study on the fake engine."""
    folder = tmp_path_factory.mktemp("cli") / "study"
    file = folder.with_suffix(".yaml")
    file.write_text(
        "model: fake\nengine: fake\narms: [{name: other, model: fake, engine: 'fake:seed=1'}]\n"
        f"suite: {SUITE}\nlimit: 20\n"
    )
    result = crushtest("run", "--study", str(file), "--out", str(folder))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("what", ["methods", "tasks", "scorers", "engines", "suites"])
def test_list_gives_names_and_summaries_as_json(what: str) -> None:
    result = crushtest("list", what, "--json")
    entries = json.loads(result.stdout)["data"]
    assert entries
    assert all(entry["name"] and entry["summary"] for entry in entries)
    plain = crushtest("list", what).stdout
    assert all(entry["name"] in plain for entry in entries)


def test_list_methods_shows_common_options_and_kinds_of_group_sizes() -> None:
    plain = crushtest("list", "methods").stdout
    assert "group_size=128  (integer, at least 1 or channel)" in plain
    assert all(said in plain for said in ("layers=PATTERN", "skip=PATTERN", "pattern=2:4+gptq:bits=4"))


def test_the_version_is_printed() -> None:
    from crushtest import __version__

    assert crushtest("--version").stdout == f"crushtest {__version__}\n"


def test_data_status_has_a_line_per_data_set_or_per_file_of_named_ones() -> None:
    head, *lines = crushtest("data", "status").stdout.splitlines()
    assert head.split("\t") == ["dataset", "tasks", "state", "licence"]
    names = [line.split("\t")[0] for line in lines]
    assert len(names) == len(set(names))
    named = crushtest("data", "status", "holisticbias").stdout.splitlines()[1:]
    assert len(named) > 1
    assert all(line.startswith("holistic_bias\t") for line in named)


def test_a_place_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = crushtest("evaluate", "fake", "--engine", "fake", "--suite", "probe_text", "-o", str(tmp_path / "file/a"))
    assert result.returncode == 1
    assert str(tmp_path / "file") in result.stderr
    assert "Not a directory; part of this path is a file" in result.stderr


def test_list_methods_shows_options_with_their_defaults() -> None:
    methods = {entry["name"]: entry for entry in json.loads(crushtest("list", "methods", "--json").stdout)["data"]}
    assert methods["wanda"]["source"] == "arXiv:2306.11695"
    assert methods["wanda"]["options"]["sparsity"]["default"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["list", "methds"], 2, ["'methds'", "did you mean 'methods'?"]),
        (["run"], 2, ["MODEL", "--study"]),
        (["run", "demo"], 2, ["nothing to compare", "-r wanda:sparsity=0.5", "crushtest evaluate demo"]),
        (["run", "demo", "--suite", "probe_text", "-o", "x"], 2, ["nothing to compare", "crushtest evaluate demo"]),
        (["evaluate", "no/such/folder/at-all", "-o", "x"], 1, ["no/such/folder/at-all"]),
        (["run", "demo", "-r", "wnada:sparsity=0.5", "-o", "x"], 2, ["'wnada'", "'wanda'"]),
        (["run", "demo", "-r", "wanda:sparsty=0.5", "-o", "x"], 2, ["'sparsty'", "'sparsity'"]),
        (["run", "demo", "-r", "wanda:sparsity=2", "-o", "x"], 2, ["sparsity must be below 1", "2"]),
        (["run", "demo", "-r", "wanda:pattern=4:2", "-o", "x"], 2, ["pattern", "4:2"]),
        (["run", "demo", "-r", "rtn:bits=4", "--replicates", "3", "-o", "x"], 2, ["--replicates", "no arm calibrates"]),
        (["evaluate", "demo", "--suite", "quikc", "-o", "x"], 2, ["'quikc'", "'quick'"]),
        (["evaluate", "demo", "--suite", "probe_qa,probe_fact", "-o", "x"], 2, ["'probe_fact'", "'probe_facts'"]),
        (["evaluate", "demo", "--dtype", "float23", "-o", "x"], 2, ["float23", "float32"]),
        (["run", "--study", "missing.yaml"], 2, ["missing.yaml", "no such file"]),
        (["compress", "demo", "-r", "wanda:sparsity=0.1,0.2", "-o", "x"], 2, ["one is needed", "2"]),
        (["compare", "nowhere", "--arm", "q4"], 2, ["--against or --accept", "give one"]),
        (["run", "demo", "--arm", "=q4"], 2, ["--arm '=q4'", "[NAME=]MODEL"]),
        (["run", "demo", "--arm", "q4="], 2, ["--arm 'q4='", "[NAME=]MODEL"]),
        (["run", "demo", "--arm", "q4=a", "--arm", "q4=b"], 2, ["two arms", "'q4'"]),
        (["compare", "nowhere"], 1, ["nowhere", "not a study folder"]),
        (["report", "nowhere"], 1, ["nowhere", "not a study folder"]),
        (["query", "nowhere", "SELECT 1"], 1, ["nowhere", "not a study folder"]),
        (["data", "status", "probe_qaa"], 2, ["probe_qaa", "'probe_qa'"]),
        (["run", "--limt", "3"], 2, ["run: unknown option '--limt'; did you mean '--limit'?", "--seed"]),
        (["rnu", "demo"], 2, ["crushtest: unknown command 'rnu'; did you mean 'run'?", "evaluate"]),
        (["data", "fecth", "bbq"], 2, ["data: unknown command 'fecth'; did you mean 'fetch'?", "status"]),
        (["compress"], 2, ["compress: missing argument MODEL (A hub id"]),
        (["compress", "demo", "-o", "x"], 2, ["compress: missing option --recipe (One recipe"]),
        (["data", "fetch"], 2, ["data fetch: missing argument TASK"]),
        (["run", "demo", "--limit", "0"], 2, ["run: option --limit", "1", "0"]),
        (["run", "demo", "--seed", "one"], 2, ["run: option --seed", "whole number", "one"]),
        (["run", "demo", "--limit"], 2, ["'--limit' requires an argument"]),
        (["card", "a", "b"], 2, ["card: ", "unexpected extra argument", "(b)", "crushtest card --help"]),
        (["--limit"], 2, ["crushtest: unknown option '--limit'", "--help"]),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    result = crushtest(*arguments, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    assert not result.stdout
    assert not list(tmp_path.iterdir())


def test_query_answers_with_rows(study: Path) -> None:
    sql = "SELECT arm, count(*) AS answers FROM answers WHERE task = 'probe_facts' GROUP BY arm ORDER BY arm"
    rows = json.loads(crushtest("query", str(study), sql, "--json").stdout)["data"]
    assert rows == [{"arm": "dense", "answers": 20}, {"arm": "other", "answers": 20}]


def test_query_joins_items_answers_and_estimates(study: Path) -> None:
    sql = (
        "SELECT count(*) AS right FROM items JOIN answers USING (task, item) WHERE arm = 'dense' "
        "AND task = 'probe_facts' AND list_position(logprobs, list_max(logprobs)) - 1 = gold"
    )
    [row] = json.loads(crushtest("query", str(study), sql, "--json").stdout)["data"]
    [estimate] = json.loads(
        crushtest(
            "query",
            str(study),
            "SELECT value FROM estimates WHERE task = 'probe_facts' AND arm = 'dense' AND metric = 'accuracy' "
            "AND \"group\" = 'all'",
            "--json",
        ).stdout
    )["data"]
    assert row["right"] / 20 == pytest.approx(estimate["value"])


def test_wrong_sql_is_one_line(study: Path) -> None:
    result = crushtest("query", str(study), "SELEKT 1")
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_compare_prints_every_task(study: Path) -> None:
    result = crushtest("compare", str(study))
    assert result.returncode == 0, result.stderr
    assert "other" in result.stdout
    assert "accuracy" in crushtest("compare", str(study), "--task", "probe_facts").stdout


def test_evaluate_measures_one_model_without_contrasts(tmp_path: Path) -> None:
    out = str(tmp_path / "e")
    result = crushtest("evaluate", "fake", "--engine", "fake", "--suite", SUITE, "--limit", "9", "-o", out)
    assert result.returncode == 0, result.stderr
    rows = json.loads(crushtest("query", out, "SELECT DISTINCT arm FROM estimates", "--json").stdout)["data"]
    assert rows == [{"arm": "dense"}]
    head, *lines, last = result.stdout.splitlines()
    assert head == "task | measure | group | value | 95% interval | n"
    assert [line.partition(" | ")[0] for line in lines] == ["probe_facts", "probe_text"]
    assert re.search(r"\| \d+\.\d% \| \d+\.\d to \d+\.\d% \| 9$", lines[0])
    assert last.startswith("report: ")
    card = crushtest("card", out)
    assert (card.returncode, card.stdout) == (1, "")
    assert "no card to write" in card.stderr


def test_a_run_of_some_of_a_studys_tasks_says_that_the_others_stay(study: Path) -> None:
    result = crushtest("run", "fake", "--engine", "fake", "--suite", "probe_text", "--limit", "20", "-o", str(study))
    assert result.returncode == 0, result.stderr
    assert result.stderr.endswith(
        "nothing to do, every arm is measured and compared; the study keeps its other tasks: probe_facts\n"
    )


def test_an_unwritable_place_is_found_before_the_report_is_made(study: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    result = crushtest("report", str(study), "--tables", str(tmp_path / "taken" / "tables"))
    assert (result.returncode, result.stdout) == (1, "")
    assert "taken" in result.stderr


def test_help_teaches_each_command() -> None:
    for command in ("run", "compress", "evaluate", "compare", "report", "label", "query", "list", "data"):
        assert "Usage" in crushtest(command, "--help").stdout


def test_without_a_command_the_help_is_shown() -> None:
    for command in ([], ["data"]):
        result = crushtest(*command)
        assert (result.returncode, result.stderr) == (2, "")
        assert "Usage" in result.stdout


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    result = crushtest("evaluate", "fake", "--engine", "fake", "--suite", SUITE, "-o", str(tmp_path / "taken"))
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "taken" in result.stderr


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = ["evaluate", "fake", "--engine", "fake:delay_s=0.2", "--suite", SUITE, "-o", str(tmp_path / "s")]
    command = [sys.executable, "-m", "crushtest", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first task has begun
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "crushtest: interrupted; the same command resumes from here"


def test_an_interrupted_dry_run_promises_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dry_run, "dry_run", interrupted)
    ended = crushtest("evaluate", "fake", "--engine", "fake", "-o", str(tmp_path / "s"), "--dry-run")
    assert (ended.returncode, ended.stderr) == (130, "crushtest: interrupted\n")


@pytest.mark.parametrize(("by", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_an_interrupted_command_of_a_group_says_so(
    by: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise by

    monkeypatch.setattr(data_status, "fetch", interrupted)
    ended = crushtest("data", "fetch", "bbq")
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", "crushtest: interrupted\n")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model in bfloat16."""
    import torch

    from support.tiny_models import network, tokenizer

    folder = tmp_path_factory.mktemp("tiny")
    network().to(torch.bfloat16).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("options", "dtype"), [([], "F32"), (["--dtype", "auto"], "BF16")])
def test_compress_writes_float32_or_what_the_checkpoint_holds(
    options: list[str], dtype: str, tiny: Path, tmp_path: Path
) -> None:
    from safetensors import safe_open

    size = ["--sequences", "2", "--length", "24", "--device", "cpu"]
    result = crushtest("compress", str(tiny), "-r", "magnitude", "-o", str(tmp_path / "out"), *size, *options)
    assert result.returncode == 0, result.stderr
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as tensors:
        assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {dtype}  # noqa: SIM118


@pytest.mark.parametrize(
    ("sent", "code", "says"),
    [
        (signal.SIGTERM, 128 + signal.SIGTERM, "crushtest: interrupted; nothing was left in {out}"),
        (signal.SIGINT, 130, "crushtest: interrupted; nothing was left in {out}"),
    ],
)
def test_a_compression_that_is_told_to_end_leaves_nothing(
    sent: signal.Signals, code: int, says: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from support.tiny_models import saved_model

    deep = saved_model(tmp_path_factory.mktemp("deep") / "model", num_hidden_layers=40)  # it takes seconds
    out = tmp_path / "above" / "out"
    arguments = ["compress", str(deep), "-r", "wanda", "-o", str(out), "--offload", "disk"]
    size = ["--sequences", "200", "--length", "256", "--device", "cpu"]  # longer than any delay of this process
    command = [sys.executable, "-m", "crushtest", *arguments, *size]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("compressing" in line for line in process.stderr)
        assert list((tmp_path / "above").iterdir())
        process.send_signal(sent)
        _, said = process.communicate(timeout=600)
    assert process.returncode == code
    assert said.strip().splitlines()[-1:] == ([says.format(out=out)] if says else [])
    assert not list(tmp_path.iterdir())


def test_what_a_killed_compression_left_is_named_and_kept(tiny: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out.a1b2c3_4.partial"
    for folder in (left, tmp_path / ".out.other.a1b2c3_4.partial"):
        folder.mkdir()
    size = ["--sequences", "2", "--length", "24", "--device", "cpu"]
    result = crushtest("compress", str(tiny), "-r", "magnitude", "-o", str(tmp_path / "out"), *size)
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if "partial" in line] == [
        f"{left}: unfinished; remove it unless another `crushtest compress` is writing it"
    ]
    assert left.is_dir()


def test_another_arm_is_asked_the_tasks_of_the_study_and_no_others(study: Path, tmp_path: Path) -> None:
    grown = shutil.copytree(study, tmp_path / "s")
    command = ["run", "fake", "--engine", "fake", "--limit", "20", "--arm", "two=fake", "--out", str(grown)]
    assert crushtest(*command).returncode == 0
    assert sorted(path.stem for path in (grown / "items").iterdir()) == SUITE.split(",")
