from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.errors import CrushtestError, UsageError
from crushtest.study.arms import make_arms
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec, check_names, read_spec


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def test_a_study_file_says_what_the_design_page_says(tmp_path: Path) -> None:
    spec = read_spec(
        write(
            tmp_path,
            "model: demo\n"
            'arms: [magnitude:sparsity=0.5, {name: half, recipe: "wanda:sparsity=0.5"}, {name: found, model: a/dir}]\n'
            "suite: [{probe_facts: {limit: 20}}, probe_qa]\n"
            "calibration: {source: c4, sequences: 128, length: 2048}\nseed: 7\n",
        )
    )
    arms = make_arms(spec)
    assert [(arm.name, arm.model, arm.recipe and arm.recipe.text) for arm in arms] == [
        ("dense", "demo", None),
        ("magnitude:sparsity=0.5", "demo", "magnitude:sparsity=0.5"),
        ("half", "demo", "wanda:sparsity=0.5"),
        ("found", "a/dir", None),
    ]
    assert [(task.name, task.limit, task.seed) for task in make_plan(spec).tasks] == [
        ("probe_facts", 20, 7),
        ("probe_qa", None, 7),
    ]


@pytest.mark.parametrize(
    ("task", "study", "expected"),
    [({}, None, 40_000), ({}, 8, 8), ({"limit": 12}, 8, 12), ({"limit": None}, 8, None), ({"limit": None}, None, None)],
)
def test_a_task_limit_precedes_the_study_and_that_the_default(
    task: dict[str, int | None], study: int | None, expected: int | None
) -> None:
    spec = build_spec({"model": "m", "suite": [{"unqover": task}], "limit": study}, where="test")
    (planned,) = make_plan(spec).tasks
    assert planned.limit == expected
    assert planned.settings["limit"] == expected
    again = build_spec({"model": "m", "suite": [{"unqover": planned.settings}], "limit": study}, where="test")
    assert make_plan(again).tasks[0].settings == planned.settings


def test_an_arm_says_whether_it_was_trained_before_or_after_compression() -> None:
    spec = build_spec(
        {
            "model": "demo",
            "arms": [
                {"name": "a", "model": "tuned", "recipe": "rtn:bits=4", "training": "before"},
                {"name": "b", "model": "pruned-tuned", "training": "after"},
                "rtn:bits=4",
            ],
        },
        where="test",
    )
    assert [arm.training for arm in make_arms(spec)] == [None, "before", "after", None]


def test_a_list_in_a_recipe_becomes_an_arm_a_value() -> None:
    spec = build_spec({"model": "demo", "arms": ["magnitude:sparsity=0.1,0.5"]}, where="test")
    assert [arm.name for arm in make_arms(spec)] == ["dense", "magnitude:sparsity=0.1", "magnitude:sparsity=0.5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: demo\n", "unknown key 'modle'; did you mean 'model'?"),
        ("arms: []\n", "model"),
        ("model: demo\nseed: x\n", "seed must be a whole number"),
        ("model: demo\nseed: -1\n", "seed must be at least 0 (got -1)"),
        ("model: demo\nlimit: 0\n", "limit must be at least 1 (got 0)"),
        ("model: demo\nsuite: 'bbq:limit=3'\n", "as `suite: [{bbq: {option: value}}]`"),
        ("model: demo\nsuite: quik\n", "unknown suite or task 'quik'; did you mean 'quick'?"),
        ("model: demo\nsuite: [probe_qua]\n", "unknown task 'probe_qua'; did you mean 'probe_qa'?"),
        ("model: demo\nsuite: [probe_qa, probe_qa]\n", "task 'probe_qa' is listed twice"),
        ("model: demo\nsuite: [{probe_qa: {shotts: 1}}]\n", "task 'probe_qa': unknown option 'shotts'"),
        ("model: demo\nsuite: [{probe_qa: {limit: 0}}]\n", "limit must be a whole number of at least 1 (got 0)"),
        ("model: demo\nsuite: [3]\n", "a task is a name or"),
        ("model: demo\nsuite: []\n", "no task"),
        ("model: demo\narms: [wnada]\n", "unknown method 'wnada'; did you mean 'wanda'?"),
        (
            "model: demo\narms: [{model: a/dir, training: befor}]\n",
            "arms.0.training must be 'before' or 'after' (got 'befor')",
        ),
        (
            "model: demo\narms: [{name: x, recipe: 'rtn:bits=4', training: before}]\n",
            "arm 'x': training describes a model that was trained",
        ),
        (
            "model: demo\narms: [{model: a/dir, recipe: 'rtn:bits=4', training: after}]\n",
            "a recipe compresses what was trained, so training is `before` (got training: after)",
        ),
        ("model: demo\narms: ['wanda:sparsity=1.5']\n", "method 'wanda': sparsity must be below 1 (got '1.5')"),
        ("model: demo\narms: [{recpe: wanda}]\n", "unknown key 'recpe'; did you mean 'recipe'?"),
        ("model: demo\narms: [{name: x}]\n", "it needs a recipe, a model or both"),
        ("model: demo\narms: ['']\n", "arms.0.recipe must not be empty (got '')"),
        ("model: demo\narms: [{model: ''}]\n", "arms.0.model must not be empty (got '')"),
        ("model: demo\narms: [{model: x, engine: ''}]\n", "arms.0.engine must not be empty (got '')"),
        ("model: demo\narms: [wanda, wanda]\n", "two arms are called 'wanda'"),
        ("model: demo\narms: [{name: dense, model: x}]\n", "'dense' is the model before compression; give the arm"),
        ("model: demo\nsuite: [{probe_facts: {limt: 5}}]\n", "unknown option 'limt'; did you mean 'limit'?"),
        ("model: demo\narms: wanda\n", "arms must be a list"),
        ("model: demo\narms: [7]\n", "`key: value` pairs are needed (got 7)"),
        ("model: demo\nengine: hg\n", "unknown engine 'hg'; did you mean 'hf'?"),
        ("model: demo\nengine: hf:fast\n", "engine 'hf:fast': 'fast' is not option=value"),
        ("model: demo\nengine: 'hf:pack_tokens=0'\n", "engine 'hf': pack_tokens must be at least 1 (got '0')"),
        ("model: demo\nengine: 'hf:batch_size=-5'\n", "engine 'hf': batch_size must be at least 1 (got '-5')"),
        ("model: demo\nengine: fake\narms: [wanda]\n", "recipes run in engine 'hf' only"),
        ("model: demo\ncalibration: {lenght: 3}\n", "unknown key 'lenght'; did you mean 'length'?"),
        ("model: demo\ncalibration: 3\n", "`key: value` pairs are needed (got 3)"),
        ("- a\n- b\n", "must hold `key: value` lines, such as `model: demo` (got a list)"),
        ("demo\n", "must hold `key: value` lines, such as `model: demo` (got a text)"),
        ("# nothing\n", "is empty; it must hold `key: value` lines"),
        ("model: [\n", "is not YAML"),
    ],
)
def test_a_mistake_in_a_study_file_is_one_line_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(read_spec(write(tmp_path, text)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, CrushtestError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["../../evil", "a\\b", "a\nb", "\x1b[2J", ".."])
def test_a_name_that_is_no_name_of_an_arm_is_refused(name: str) -> None:
    spec = build_spec({"model": "demo", "arms": [{"name": name, "model": "a/dir"}]}, where="test")
    with pytest.raises(UsageError, match="must not contain path separators") as caught:
        check_names(spec)
    assert str(caught.value).isprintable()


def test_a_recipe_too_long_for_a_folder_needs_a_name() -> None:
    long = "+".join(f"rtn:bits=4,group_size=64,layers=*layers.{block}.*" for block in range(9))
    with pytest.raises(UsageError, match="too long to name a folder") as caught:
        make_arms(build_spec({"model": "demo", "arms": [long]}, where="test"))
    assert str(caught.value).isprintable()
    assert make_arms(build_spec({"model": "demo", "arms": [{"name": "mix", "recipe": long}]}, where="test"))


def test_a_recipe_and_a_folder_name_their_arm_as_they_are() -> None:
    spec = build_spec({"model": "demo", "arms": ["wanda:pattern=2:4", {"model": "a/dir"}]}, where="test")
    check_names(spec)
    assert [arm.name for arm in make_arms(spec)] == ["dense", "wanda:pattern=2:4", "a/dir"]


def test_a_folder_in_place_of_a_study_file_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        read_spec(tmp_path)


def test_a_missing_study_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_spec(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("engine", ["hf", "llamacpp", "hf:kv=q8_0"])
def test_an_address_runs_behind_it_whatever_engine_the_study_has(engine: str) -> None:
    arms = [{"name": "served", "model": "http://localhost:1/v1#m"}]
    plan = make_plan(build_spec({"model": "demo", "engine": engine, "arms": arms, "suite": "probe_qa"}, where="test"))
    assert [arm.engine for arm in plan.arms] == [engine.partition(":")[0], "openai"]


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="kv is given twice"):
        make_plan(build_spec({"model": "demo", "engine": "hf:kv=q8_0,kv=q4_0", "suite": "probe_qa"}, where="test"))
