"""Options that commands share: declared once, parsed by each, and told apart from defaults."""

from __future__ import annotations

from dataclasses import fields

import pytest
from typer.main import get_command

from crushtest.cli.app import app
from crushtest.cli.options import Selection, Setup, given


@pytest.mark.parametrize("command", ["run", "evaluate"])
def test_every_field_of_the_records_is_an_option_of_its_own(command: str) -> None:
    parameters = {parameter.name for parameter in get_command(app).commands[command].params}  # type: ignore[attr-defined]
    assert {field.name for record in (Selection, Setup) for field in fields(record)} <= parameters
    assert not parameters & {"selection", "setup"}


def test_options_that_were_not_given_leave_the_study_files_values_alone() -> None:
    assert given(Selection()) == {}
    assert given(Setup(noise_vary=[])) == {}


def test_zero_is_given() -> None:
    assert given(Selection(seed=0)) == {"seed": 0}
    assert given(Setup(noise_floor=0, noise_vary=["threads=1"])) == {
        "noise_floor": {"repeats": 0, "vary": ["threads=1"]}
    }
    assert given(Setup(noise_arms=["q4", "auto"])) == {"noise_floor": {"arms": ["q4", "auto"]}}
