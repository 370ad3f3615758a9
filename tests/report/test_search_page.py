"""The page of a search says what it found, and shows both halves side by side."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import pytest

from crushtest.report.page.search_page import as_image, render_search, short_labels, spec
from crushtest.report.search_words import comparison, optimism, swapped
from crushtest.study.searched import Candidate, Cell, Half, Judged, SearchRecord, Swap

OPTIONS = ("rtn:bits=2,group_size=64", "rtn:bits=4,group_size=64")


def judged(name: str, ratio: float, outcome: Any = "passed", **more: Any) -> Judged:
    return Judged(name=name, outcome=outcome, size=0.2, ratios={"bias": ratio, "dialect": ratio / 2}, **more)


def record(**more: Any) -> SearchRecord:
    facts: dict[str, Any] = {
        "request": {"study": {"model": "demo"}, "target": None},
        "halves": {"probe_qa": Half(search=10, verify=12, search_clusters=3, verify_clusters=4)},
        "parts": ("layers.0", "layers.1"),
        "options": OPTIONS,
        "reference": OPTIONS[1],
        "candidates": (
            Candidate(name="mix 0.2", recipe="a+b", kind="mix", size=0.2, chosen=(1, 0)),
            Candidate(name=OPTIONS[1], recipe=OPTIONS[1], kind="uniform", size=0.27, chosen=(1, 1)),
        ),
        "screened": (judged("mix 0.2", 0.25), judged(OPTIONS[1], 0.5)),
        "order": ("mix 0.2",),
        "verified": (judged("mix 0.2", 0.75),),
        "beside": (judged(OPTIONS[1], 0.6),),
        "outcome": "found",
        "answer": "mix 0.2",
        "recipe": "a+b",
    }
    return SearchRecord(**(facts | more))


def cells() -> dict[str, Cell]:
    rows = [
        Cell(part, block, option, "probe_qa", "bias", divergence, 0.1, 10, 3, 100)
        for block, (part, divergence) in enumerate((("layers.0", 0.32), ("layers.1", 0.08)))
        for option in OPTIONS
    ]
    return {f"{cell.part} {cell.option}": cell for cell in rows}


def test_the_page_names_the_answer_and_its_recipe() -> None:
    page = render_search(record(), cells(), {"sensitivity": 300.0})
    assert "<pre>a+b</pre>" in page
    assert "0.50 margins worse on the verification half" in page
    assert re.search(
        r"<td>0\.25</td><td>0\.12</td><td>0\.75</td><td>0\.38</td><td>passed on the verification half</td>", page
    )
    assert "passed on the verification half, for comparison" in page
    assert 'class="c worse d2">1.6</td>' in page, "the first part holds four fifths of the divergence"
    assert "<td>bits=4</td>" in page
    assert "5 min" in page
    assert "<script" not in page
    assert page.count("data:image/svg+xml;base64,") == 2


@pytest.mark.parametrize(("outcome", "words"), [("none", "none passes"), ("inconclusive", "nothing was shown to pass")])
def test_the_page_says_what_broke_the_nearest(outcome: Any, words: str) -> None:
    broken = judged("mix 0.2", 2.0, "regression", broke=("rule 1: <worse>",))
    page = render_search(record(outcome=outcome, answer=None, recipe=None, verified=(broken,), beside=()), cells(), {})
    assert f"No recipe: {words}" in page or f"No recipe: inconclusive: {words}" in page
    assert "rule 1: &lt;worse&gt;" in page
    assert "Nearest: mix 0.2" in page


def test_what_was_left_out_stands_on_the_page_with_the_reason() -> None:
    page = render_search(
        record(screened=(judged("mix 0.2", 0.25),), left_out={OPTIONS[1]: "mix 0.2"}, beside=()), cells(), {}
    )
    assert "not asked: predicted to be no better than mix 0.2, a regression, in any dimension" in page


def test_what_looked_worse_when_chosen_is_said_to_be_better() -> None:
    assert optimism(record(screened=(judged("mix 0.2", 0.9), judged(OPTIONS[1], 0.5)))).startswith(
        "0.15 margins better"
    )
    assert optimism(record(verified=())) == ""


def test_what_one_half_alone_measured_is_no_optimism() -> None:
    asked_last = judged("mix 0.2", 0.75).model_copy(update={"ratios": {"bias": 0.75, "dialect": 0.1, "refusal": 3.0}})
    assert optimism(record(verified=(asked_last,))).startswith("0.50 margins worse")
    assert optimism(record(verified=(asked_last.model_copy(update={"ratios": {"refusal": 3.0}}),))) == ""


def test_options_are_told_apart_by_what_they_do_not_share() -> None:
    assert short_labels(["a:x=1", "b:x=1"]) == ["a", "b", "dense"]


@pytest.mark.parametrize(("ratio", "says"), [(9.0, "3 or more"), (-4.0, "-1 or less")])
def test_a_figure_says_what_stands_beyond_its_edges(ratio: float, says: str) -> None:
    def drawn(made: SearchRecord) -> str:
        return b64decode(as_image(spec(made, "bias")).partition(",")[2]).decode()

    assert says not in drawn(record())
    assert says in drawn(record(screened=(judged("mix 0.2", ratio), judged(OPTIONS[1], 0.5))))


def test_a_legend_names_the_kinds_that_are_there_and_is_not_cut() -> None:
    image = b64decode(as_image(spec(record(), "bias")).partition(",")[2]).decode()
    words = re.findall(r"<text[^>]*>([^<]*)</text>", image)
    assert {"mix", "uniform"} <= set(words)
    assert not {"swapped", "given", "by text"} & set(words)
    assert any(word.startswith("verification") for word in words)


def test_who_won_on_the_verification_half_is_said() -> None:
    assert comparison(record()) == (
        "Worst harm on the verification half, as a share of its margin, as measured: mix 0.2 0.75 at size 0.200; "
        f"{OPTIONS[1]} 0.60 at size 0.200. Uniform {OPTIONS[1]} won against mix 0.2. {OPTIONS[1]} is no larger. "
        "This decides nothing, as it was seen after the choice: search with another --seed to test it."
    )
    text = Candidate(name="by text 0.200", recipe="c", kind="by text", size=0.2)
    beside = (judged(OPTIONS[1], 0.9), judged("by text 0.200", 0.8))
    assert comparison(record(rivals=(text,), beside=beside)).endswith(
        "by text 0.200 0.80 at size 0.200. mix 0.2 did best."
    )
    lost = record(rivals=(text,), beside=(judged(OPTIONS[1], 0.9), judged("by text 0.200", 0.7)))
    assert "The mix by text 0.200 won against mix 0.2." in comparison(lost)
    page = render_search(lost, cells(), {})
    assert "The mix by text 0.200 won" in page
    assert "<td>by text</td>" in page
    assert comparison(record(beside=())) == ""
    assert comparison(record(verified=(), answer=None)) == ""


def test_what_swaps_brought_is_said() -> None:
    first = Swap(mix="mix 0.2", parts=(), ratios={"bias": 1.0}, kept=True)
    worse = Swap(mix="mix 0.2", parts=("layers.0", "layers.1"), ratios={"bias": 1.5}, kept=False)
    better = Swap(mix="mix 0.2", parts=("layers.1", "layers.0"), ratios={"bias": 0.5}, kept=True)
    assert swapped(record(swaps=(first, worse))) == [
        "mix 0.2: 1 swap of two parts tried, none lowers the largest measured divergence (1.000)."
    ]
    page = render_search(record(swaps=(first, worse, better)), cells(), {})
    assert "2 swaps of two parts tried; kept layers.1 with layers.0." in page
    assert "1.000 before, 0.500 after" in page


def test_what_differs_by_less_than_is_shown_is_no_win() -> None:
    alike = record(beside=(judged(OPTIONS[1], 0.7489),))
    assert comparison(alike).endswith(f"{OPTIONS[1]} did as well.")
    assert "-0.00" not in render_search(record(screened=(judged("mix 0.2", -0.001),)), cells(), {})
    assert optimism(record(screened=(judged("mix 0.2", 0.7489), judged(OPTIONS[1], 0.5)))).startswith("as good")


def test_the_recipe_of_the_nearest_stands_on_the_page() -> None:
    page = render_search(record(outcome="inconclusive", answer=None, recipe=None), cells(), {})
    assert re.search(r"Nearest: mix 0.2, 20.0% of the size at 16 bits.</p>\s*<pre>a\+b</pre>", page)
