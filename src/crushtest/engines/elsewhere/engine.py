"""The engine of arms whose answers were made elsewhere and added from files (`crushtest add`). It answers nothing."""

from __future__ import annotations

from typing import Any, NoReturn

from crushtest.engines.elsewhere import NAME
from crushtest.errors import EngineError
from crushtest.registry import engine


def _refuse(model: object, **options: Any) -> NoReturn:
    """Raise EngineError: no model is here that could answer what no file did."""
    raise EngineError(
        f"{model}: no model is here that could answer what no file did; add the answers (`crushtest add --help`)"
    )


@engine(
    NAME,
    runs="no model: answers made elsewhere, which `crushtest add` reads from files",
    answers=("choices", "passages", "prompts"),
    has_model=False,
    facts=_refuse,
)
def elsewhere(model: object) -> NoReturn:
    """Answers made elsewhere, added to a study from files; nothing is run."""
    _refuse(model)
