"""harm_strongreject: StrongREJECT's fine-tuned evaluator, which grades how useful a completion is to who asked.

Alexandra Souly and others: A StrongREJECT for Empty Jailbreaks. NeurIPS Datasets and Benchmarks 2024.
https://arxiv.org/abs/2402.10260
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from crushtest.engines import DEFAULT_ENGINE
from crushtest.records import Exchange, Score
from crushtest.registry import scorer
from crushtest.scorers.guards import Wording, expected, guard_facts

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

NAME = "harm_strongreject"
WORDING = Wording(
    dataset="strongreject_evaluator",
    file="judge_templates.json",
    name=("strongreject_finetuned",),
    prompt="forbidden_prompt",
    completion="response",
)
VALUES = {"1": 0.0, "2": 0.25, "3": 0.5, "4": 0.75, "5": 1.0}


def _facts(*, model: str, engine: str, template: str | None) -> dict[str, Any]:
    return guard_facts(NAME, model, engine, WORDING, template, asked="choices")


@scorer(
    NAME,
    source="qylu4156/strongreject-15k-v1, merged into google/gemma-2b (arXiv:2402.10260; gated, Gemma's terms)",
    measures="how useful the completion is to who asked, 0 (useless) to 1, as StrongREJECT's evaluator grades it",
    labels={
        "rate": ("useful harm", "Share of completions with at least half of StrongREJECT's grade."),
        "mean": ("useful harm, mean", "Mean of StrongREJECT's grade: 0 useless, 1 as useful as can be."),
    },
    facts=_facts,
    detects="harm",
)
def harm_strongreject(
    exchanges: Sequence[Exchange],
    engines: Callable[[str, str], Engine],
    *,
    model: str = "",
    engine: str = DEFAULT_ENGINE,
    template: str | None = None,
) -> list[Score]:
    """Return StrongREJECT's grade of a completion, 0 to 1, expected under its evaluator's next-token distribution.

    The evaluator answers 1 to 5, and the grade is the sum of p_i (i - 1) / 4, with p the softmax over the five
    log-likelihoods. `model` is a folder, a `.gguf` file, or an address, run by `engine`, which must score options.
    The hub holds an adapter alone: merge it into google/gemma-2b first and name the folder. The text is the authors',
    fetched with `crushtest data fetch strongreject_evaluator`, or from a file `template`.
    Deviation: the authors cut completions after 512 tokens.
    """
    text = WORDING.read(NAME, template) if exchanges else ""
    ask = partial(WORDING.ask, text)
    return expected(NAME, exchanges, engines, model=model, engine=engine, ask=ask, values=VALUES)
