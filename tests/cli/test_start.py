"""The commands for a first study: init, schema, doctor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.gate.policy import parse_policy, policies, policy_schema
from crushtest.registry import TASKS
from crushtest.study.schema import study_schema, suite_schema
from crushtest.study.spec import read_spec

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
SUITES = sorted((Path(__file__).parents[2] / "src/crushtest/study/suites").glob("*.yaml"))


def crushtest(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def allows(schema: dict[str, Any], content: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(content))


# ---- init ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("-r", "wanda:sparsity=0.1,0.2", "--arm", "w4=a/b=c", "--arm", "x/y", "--limit", "40"),
        ("--model", "{odd: name} # ü", "--suite", "probe_qa,probe_text"),
    ],
)
def test_init_writes_a_study_that_reads_back(tmp_path: Path, flags: tuple[str, ...]) -> None:
    file = tmp_path / "ship.yaml"
    assert crushtest("init", str(file), *flags).exit_code == 0
    spec = read_spec(file)
    assert allows(study_schema(), yaml.safe_load(file.read_text(encoding="utf-8")))
    wanted = dict(zip(flags[::2], flags[1::2], strict=True))
    assert spec.model == wanted.get("--model", "demo")
    assert spec.limit == (40 if "--limit" in wanted else None)
    assert spec.suite == wanted.get("--suite", "quick")
    titles = [arm.title for arm in spec.arms]
    assert titles == (["wanda:sparsity=0.1,0.2", "w4", "y"] if "-r" in wanted else ["rtn:bits=4,group_size=64"])


def test_init_makes_the_folder_that_it_writes_into(tmp_path: Path) -> None:
    assert crushtest("init", str(tmp_path / "new" / "s.yaml")).exit_code == 0
    assert (tmp_path / "new" / "s.yaml").is_file()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("model: mine\n")
    result = crushtest("init", str(file))
    assert result.exit_code
    assert file.read_text() == "model: mine\n"


def test_init_refuses_what_no_study_may_hold(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    for flags in (["--suite", "quikc"], ["--arm", "a/b=c=", "-r", ""], ["--arm", "q=a", "--arm", "q=b"]):
        assert crushtest("init", str(file), *flags).exit_code, flags
        assert not file.exists(), flags


# ---- schema ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [study_schema, suite_schema, policy_schema])
def test_a_schema_is_one_of_json_schema_itself(make: Callable[[], dict[str, Any]]) -> None:
    assert allows(jsonschema.Draft202012Validator.META_SCHEMA, make())


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_the_schema_allows_the_studies_that_come_along(file: Path) -> None:
    assert allows(study_schema(), yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_the_schema_allows_the_suites_that_come_along(file: Path) -> None:
    assert allows(suite_schema(), yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("name", policies())
def test_the_schema_allows_the_policies_that_come_along(name: str) -> None:
    content = yaml.safe_load(policies()[name])
    assert allows(policy_schema(), content)
    assert parse_policy(policies()[name], where=name).rules
    assert not allows(policy_schema(), content | {"ruls": []})


@pytest.mark.parametrize(
    "wrong",
    [
        {"modl": "demo"},
        {"arms": [{"recipee": "nf4"}]},
        {"arms": [3]},
        {"suite": ["no_such_task"]},
        {"suite": [{"bbq": {"shotz": 5}}]},
        {"suite": [{"bbq": {"limit": 0}}]},
        {"suite": [{"bbq": None, "mmlu": None}]},
        {"noise_floor": -1},
        {"seed": "one"},
        {"calibration": {"sequences": 0}},
    ],
)
def test_the_schema_refuses_what_a_study_may_not_hold(wrong: dict[str, Any]) -> None:
    assert not allows(study_schema(), {"model": "demo"} | wrong)


def test_every_task_stands_in_the_schema_with_its_options() -> None:
    [alone, with_options] = study_schema()["$defs"]["tasks"]["items"]["anyOf"]
    assert [task["const"] for task in alone["anyOf"]] == TASKS.names()
    for task in TASKS:
        assert set(with_options["properties"][task.name]["properties"]) == {*task.options, "limit"}


def test_schema_prints_each_kind_and_names_the_nearest() -> None:
    for what in ("study", "suite", "policy", "output"):
        assert json.loads(crushtest("schema", what).stdout)["$schema"]
    assert "'policy'" in str(crushtest("schema", "polcy").exception)


# ---- doctor ----------------------------------------------------------------------------------------


def test_doctor_never_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-number")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for flags in ([], ["--json"]):
        result = crushtest("doctor", *flags)
        assert result.exit_code == 0, result.exception
        assert "sk-secret" not in result.stdout
    states = {(line["kind"], line["name"]): line["state"] for line in json.loads(result.stdout)["data"]}
    assert states["key", "OPENAI_API_KEY"] == "set"
    assert states["key", "HF_TOKEN"] == "not set"
    assert ("version", "torch") in states
    assert ("device", "cpu") in states
    assert ("extra", "vllm") in states


def test_doctor_names_the_command_for_what_is_missing() -> None:
    lines = json.loads(crushtest("doctor", "--json").stdout)["data"]
    for line in lines:
        if line["state"].startswith(("missing", "not installed")):
            assert line["remedy"].startswith(("pip install", "crushtest data")), line
