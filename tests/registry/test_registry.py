from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from crushtest.errors import CrushtestError, UnknownName, UsageError
from crushtest.gate.policy import parse_policy
from crushtest.registry import (
    METHODS,
    SCORERS,
    AboutMethod,
    AboutTask,
    Entry,
    Registry,
    calibrates,
    scorer_identity,
    task,
)

Share = Annotated[float, Field(ge=0, lt=1)]
Angle = Annotated[int, Field(description="in degrees")]


def squeeze(weight: Any, *, share: Share = 0.5, bits: int = 4, mode: Literal["a", "b"] = "a", on: bool = False) -> None:
    """Make it smaller.

    More words.
    """


ABOUT = AboutMethod(source="here", kind="pruning", scope="layer")
ENTRY = Entry("method", "squeeze", squeeze, ABOUT)


def test_options_are_the_keyword_only_parameters_and_needs_the_others() -> None:
    assert list(ENTRY.options) == ["share", "bits", "mode", "on"]
    assert ENTRY.needs == {"weight": "Any"}
    assert ENTRY.summary == "Make it smaller."


def test_text_is_converted_to_the_options_type_and_defaults_are_filled_in() -> None:
    assert ENTRY.bind({"share": "0.25", "bits": "3", "on": "true"}) == {
        "share": 0.25,
        "bits": 3,
        "mode": "a",
        "on": True,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": "1"}, "method 'squeeze': share must be below 1 (got '1')"),
        ({"share": -0.1}, "method 'squeeze': share must be at least 0 (got -0.1)"),
        ({"bits": "4.5"}, "method 'squeeze': bits must be a whole number"),
        ({"mode": "c"}, "method 'squeeze': mode must be 'a' or 'b' (got 'c')"),
        ({"bit": 1}, "method 'squeeze': unknown option 'bit'; did you mean 'bits'? (allowed: bits, mode, on, share)"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ENTRY.bind(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("maybe", "method 'think': thinking must be 'on' or 'off', or a whole number (got 'maybe')"),
        ("0", "method 'think': thinking must be 'on' or 'off', or at least 1 (got '0')"),
    ],
)
def test_an_option_of_two_types_is_explained_in_one_clause(given: str, message: str) -> None:
    def think(*, thinking: Literal["on", "off"] | Annotated[int, Field(ge=1)] | None = None) -> None: ...

    with pytest.raises(UsageError) as caught:
        Entry("method", "think", think, ABOUT).bind({"thinking": given})
    assert str(caught.value) == message


def test_requirements_do_not_repeat_the_words_of_pydantic() -> None:
    def turn(
        *,
        angle: float = 1.0,
        on: bool = False,
        side: str = "",
        steps: tuple[int, ...] = (),
        size: Annotated[int, Field(gt=0, le=9)] = 1,
        even: Annotated[int, Field(multiple_of=2)] = 2,
        name: Annotated[str, Field(min_length=1)] = "a",
    ) -> None: ...

    wrong = {"angle": "x", "on": "x", "side": 1, "steps": "x", "size": 0, "even": 3, "name": ""}
    with pytest.raises(UsageError) as caught:
        Entry("method", "turn", turn, ABOUT).bind(wrong)
    assert str(caught.value).removeprefix("method 'turn': ").split("; ") == [
        "angle must be a number (got 'x')",
        "on must be true or false (got 'x')",
        "side must be text (got 1)",
        "steps must be a list (got 'x')",
        "size must be above 0 (got 0)",
        "even must be a multiple of 2 (got 3)",
        "name must not be empty (got '')",
    ]


def test_a_required_option_that_is_not_given_is_named_with_what_it_is() -> None:
    def turn(*, angle: Angle, side: str) -> None: ...

    with pytest.raises(UsageError) as caught:
        Entry("method", "turn", turn, ABOUT).bind({})
    assert str(caught.value) == "method 'turn': angle is required (in degrees); side is required"


@pytest.mark.parametrize("name", ["WANDA", "Wnada"])
def test_the_nearest_name_is_found_whatever_the_case(name: str) -> None:
    assert f"{name!r}; did you mean 'wanda'? (allowed: magnitude, wanda)" in str(
        UnknownName("method", name, ["wanda", "magnitude"])
    )


def test_the_nearest_name_is_given_in_its_own_case() -> None:
    assert "did you mean 'SAE'?" in str(UnknownName("group", "sae", ["SAE", "AAE"]))


def test_an_unknown_name_carries_the_nearest_one() -> None:
    registry = Registry("method", "crushtest.study.suites")
    registry.add("wanda", ABOUT)(squeeze)
    registry.add("magnitude", ABOUT)(squeeze)
    with pytest.raises(UnknownName, match="unknown method 'wnada'; did you mean 'wanda'"):
        registry.get("wnada")
    assert registry.names() == ["magnitude", "wanda"]


def test_two_functions_cannot_share_a_name() -> None:
    registry = Registry("method", "crushtest.study.suites")
    registry.add("wanda", ABOUT)(squeeze)
    with pytest.raises(CrushtestError, match="two methods are called 'wanda'"):
        registry.add("wanda", ABOUT)(pytest.raises)


def test_an_entry_describes_itself_in_json_values() -> None:
    share = {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.5}
    assert ENTRY.describe()["options"]["share"] == share
    assert ENTRY.describe()["source"] == "here"


def test_an_import_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "methods_in_the_making"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "half.py").write_text("raise ImportError('no such library')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("method", package.name)
    for _ in range(2):
        with pytest.raises(ImportError, match="no such library"):
            registry.names()


def test_methods_say_whether_they_depend_on_calibration_text() -> None:
    found = {name for name in METHODS.names() if calibrates(name)}
    assert {"wanda", "sparsegpt", "gblm", "gptq", "awq"} <= found
    assert not found & {"magnitude", "rtn", "nf4", "fp4", "int8"}


VALUES = st.text(
    st.characters(blacklist_characters=",", blacklist_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), min_size=1
)


@given(st.data())
def test_a_scorer_has_one_name_however_its_options_are_written(data: st.DataObject) -> None:
    entry = SCORERS.get(data.draw(st.sampled_from(SCORERS.names())))
    options = data.draw(st.dictionaries(st.sampled_from([*entry.options, "foreign"]), VALUES))
    named = [f"{option}={value}" for option, value in data.draw(st.permutations(list(options.items())))]
    spec = f"{entry.name}:{','.join(named)}" if named else entry.name
    identity = scorer_identity(spec)
    assert scorer_identity(identity) == identity
    kept = {option: value for option, value in options.items() if option not in entry.about.patience}
    assert SCORERS.split(identity) == (entry.name, kept)
    unnamed = next(iter(entry.options), None)
    if unnamed in options and not re.match(r"\w+\s*=", options[unnamed]):
        rest = [piece for piece in named if not piece.startswith(f"{unnamed}=")]
        assert scorer_identity(f"{entry.name}:{','.join([options[unnamed], *rest])}") == identity


def test_a_task_that_names_a_dimension_as_before_is_in_that_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: Registry[AboutTask] = Registry("task", "crushtest.engines.fake")
    monkeypatch.setattr("crushtest.registry.TASKS", tasks)
    task("old", dimension="dialect bias", source="here", licence="none")(lambda: None)  # type: ignore[arg-type]
    assert tasks.get("old").about.dimension == "language and dialect"


def test_a_policy_that_names_a_dimension_as_before_is_about_that_of_today() -> None:
    policy = parse_policy('rules: [{metric: "*", dimension: dialect bias, margin: 0.1}]', where="test")
    assert [rule.dimension for rule in policy.rules] == ["language and dialect"]
    with pytest.raises(UsageError, match="language and dialect"):
        parse_policy('rules: [{metric: "*", dimension: no such, margin: 0.1}]', where="test")
