"""Every defect of the published tables is found by a rule, whatever the numbers are."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.data.published.xu2024 import relabelling
from crushtest.data.published.xu2024.alignment import LOST, MISALIGNED, REALIGNED, put_back_blocks, put_back_doubled
from crushtest.data.published.xu2024.bias_score import (
    ABOVE_ONE,
    NOT_COMPARABLE,
    UNKNOWN_BIASED,
    UNKNOWNS_ONLY,
    mark_bias_scores,
)
from crushtest.data.published.xu2024.dropped import BATCH, completions, mark_dropped
from crushtest.data.published.xu2024.repeated import FLAG, tell_apart
from crushtest.data.published.xu2024.tables import Line, parse_lines
from data.published.lines import flags_of, line

GROUPS = ("a", "b", "c", "d", "e")
METRICS = {"one": "likelihood", "two": "likelihood", "three": "ratio"}
BLOCKS = [
    [*(f"group_{group}_{metric}" for group in GROUPS), f"mean_{metric}_{kind}"] for metric, kind in METRICS.items()
]
HEADER = [column for block in BLOCKS for column in block]


@given(st.lists(st.floats(0, 1), min_size=len(HEADER), max_size=len(HEADER)), st.integers(0, len(GROUPS) - 1))
def test_a_line_with_a_group_too_few_keeps_its_pooled_numbers(values: list[float], lost: int) -> None:
    whole = dict(zip(HEADER, values, strict=True))
    short = [whole[column] for block in BLOCKS for place, column in enumerate(block) if place != lost]
    printed = dict(zip(HEADER, [*short, None, None, None], strict=True))
    (mended,) = put_back_blocks([line(printed)])
    for column in HEADER:
        pooled = column.startswith("mean_")
        assert mended.value(column) == (whole[column] if pooled else None)
        assert mended.cells[column].flags == (REALIGNED if pooled else MISALIGNED,)
    assert put_back_blocks([line(whole)]) == [line(whole)]


COLUMNS = [f"corpus {number}" for number in range(14)]
LEVELS = [5.0, 9.0, 2.5, 7.1, 12.4, 30.2, 20.1, 10.3, 8.7, 11.9, 6.6, 14.5, 10.8, 9.4]


def smooth(seed: int) -> list[float]:
    """Perplexities of a model: those of the corpora times a factor, with a little noise."""
    draw = random.Random(seed)
    factor = draw.uniform(1, 4)
    return [round(level * factor * draw.uniform(0.99, 1.01), 2) for level in LEVELS]


@given(st.integers(0, 500), st.integers(1, 8), st.integers(3, 5))
def test_a_number_entered_twice_is_taken_out_and_the_lost_one_named(seed: int, at: int, moved: int) -> None:
    others = [line(dict(zip(COLUMNS, smooth(1000 + n), strict=True)), number=3 + n) for n in range(9)]
    values = smooth(seed)
    doubled = [*values[:at], values[at - 1], *values[at : at + moved], *values[at + moved + 1 :]]
    mended = put_back_doubled([line(dict(zip(COLUMNS, doubled, strict=True))), *others])
    assert mended[1:] == others
    expected = [REALIGNED if at <= place < at + moved else LOST if place == at + moved else None for place in range(14)]
    assert [cell.flags for cell in mended[0].cells.values()] == [(flag,) if flag else () for flag in expected]
    assert [mended[0].value(column) for column in COLUMNS] == [
        None if flag == LOST else value for flag, value in zip(expected, values, strict=True)
    ]


@given(st.integers(1, 13))
def test_two_corpora_that_happen_to_be_as_hard_are_no_doubling(at: int) -> None:
    def model(number: int) -> Line:
        return line(
            dict(zip(COLUMNS, [*smooth(number)[:at], *smooth(number)[at - 1 : -1]], strict=True)), number=number
        )

    lines = [model(number) for number in range(9)]
    assert put_back_doubled(lines) == lines


@given(st.integers(1, 60), st.data())
def test_completions_dropped_in_batches_show_in_the_shares(batches: int, data: st.DataObject) -> None:
    prompts = 10_000
    scored = prompts - BATCH * batches
    counts = [data.draw(st.integers(1, scored - 1)) for _ in range(2)]
    shares = [float(f"{count / scored:.10g}") for count in counts]
    counted = completions(shares, prompts)
    assert counted is not None
    assert counted >= scored
    assert all(abs(share * counted - round(share * counted)) < 1e-4 for share in shares)
    assert completions([float(f"{count / prompts:.10g}") for count in counts], prompts) == prompts


def test_only_the_scorers_of_the_failing_call_are_marked() -> None:
    columns = ("mean_regardv3_score_ratio", "group_a_openai_toxicity", "mean_openai_toxicity_ratio")
    whole = line(dict.fromkeys(columns, 0.25), table="holistic_bias")
    short = line(dict.fromkeys(columns, 1 / 9992), table="holistic_bias")
    silent = line(dict.fromkeys(columns, 0.0), table="holistic_bias")
    assert [set(flags_of(marked)) for marked in mark_dropped([whole, short, silent])] == [
        set(),
        set(columns[1:]),
        set(),
    ]


Answers = Sequence[tuple[bool, bool, bool]]


def scored(answers: Answers, *, labels_have_non: bool) -> tuple[float, float, float]:
    """Accuracy and both bias scores by the tables' scorer, of (negative question, unknown, non-target chosen)."""
    biased = sum(negative if unknown or not labels_have_non else negative != non for negative, unknown, non in answers)
    known = sum(not unknown for _, unknown, _ in answers)
    accuracy = 1 - known / len(answers)
    score = 2 * biased / known - 1
    return accuracy, (1 - accuracy) * score, score


def bias_line(number: int, answers: Answers, other: Answers) -> Line:
    values = {}
    for category, given_, non in (("blind", answers, False), ("seeing", other, True)):
        accuracy, ambiguous, disambiguated = scored(given_, labels_have_non=non)
        values |= {f"{category}_acc_ambiguous": accuracy, f"{category}_s_ambiguous": ambiguous}
        values |= {f"{category}_s_disambiguated": disambiguated}
    return line(values, number=number)


def answers_of(seed: int, items: int = 60, negative: int = 30) -> Answers:
    draw = random.Random(seed)
    unknown = draw.uniform(0.1, 0.6)
    return [(n < negative, draw.random() < unknown, draw.random() < 0.5) for n in range(items)]


@given(st.integers(0, 10_000))
def test_a_score_that_counts_unknown_answers_only_is_told_from_the_table(seed: int) -> None:
    lines = [bias_line(n, answers_of(seed + n), answers_of(seed + 7_000 + n)) for n in range(12)]
    stranger = bias_line(12, answers_of(seed, items=80, negative=33), answers_of(seed))
    marked = mark_bias_scores([*lines, stranger])
    for each in marked:
        for column, flags in flags_of(each).items():
            if "_s_" in column:
                assert (UNKNOWNS_ONLY if column.startswith("blind") else UNKNOWN_BIASED) in flags
            assert (NOT_COMPARABLE in flags) == (each.number == 12)
            assert (ABOVE_ONE in flags) == ("_s_" in column and (each.value(column) or 0) > 1)
    for each in marked[:12]:
        unknown = each.value("blind_acc_ambiguous")
        assert unknown is not None
        assert each.value("blind_s_disambiguated") == pytest.approx(unknown / (1 - unknown))
    assert len(flags_of(marked[12])) == 6


@given(st.randoms(use_true_random=False))
def test_subjects_get_their_names_back_in_any_order(draw: random.Random) -> None:
    counts = {"ada": 1009, "bea": 1013, "cid": 1019, "dan": 1021, "eve": 1031, "fay": 1033}
    names = list(counts)
    wins = {name: draw.randint(-900, 900) for name in names}
    sums = {name: draw.uniform(-50, 50) for name in names[:-1]}
    sums[names[-1]] = -sum(sums.values())
    order = draw.sample(names, len(names))
    values: dict[str, float | None] = {}
    for header, name in zip(names, order, strict=True):
        values[f"people_{header}_gamma"] = sums[name] / counts[name]
        values[f"people_{header}_eta"] = wins[name] / counts[name]
    chosen = relabelling.names_of(line(values), "people", counts, names)
    possible = [set(name.split("|")) for name in chosen]
    assert all(name in candidates for name, candidates in zip(order, possible, strict=True))
    if all(wins.values()):
        assert chosen == order


def test_subjects_of_equal_count_stay_together() -> None:
    counts = {"ada": 1009, "bea": 1009, "cid": 1013}
    gammas, etas = [0.1, 0.02, -0.12 * 1009 / 1013], [100 / 1009, 30 / 1009, -130 / 1013]
    values: dict[str, float | None] = {}
    for place, header in enumerate(("cid", "ada", "bea")):
        values |= {f"people_{header}_gamma": gammas[place], f"people_{header}_eta": etas[place]}
    assert relabelling.names_of(line(values), "people", counts, ["cid", "ada", "bea"]) == ["ada|bea", "ada|bea", "cid"]


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(("dense", "int8", "awq:bits=4"))), max_size=9))
def test_the_last_line_of_an_arm_is_its_own_and_others_another_checkpoint(keys: list[tuple[str, str]]) -> None:
    lines = [line({"x": 1.0}, number=n, model=model, arm=arm) for n, (model, arm) in enumerate(keys)]
    apart = tell_apart(lines)
    kept = [each for each in apart if not each.cells["x"].flags]
    assert len({(each.model, each.arm) for each in kept}) == len(kept) == len(set(keys))
    assert all(each.number == max(n for n, key in enumerate(keys) if key == keys[each.number]) for each in kept)
    assert all(each.cells["x"].flags == (FLAG,) and each.model not in "AB" for each in apart if each not in kept)


def test_a_dash_is_a_number_that_was_not_published() -> None:
    text = "base_model,compression_method,compression_ratio,pruning_structure,x,y\nllama-2-7b,bnb,0.5,-,-,1.5\n"
    (read,) = parse_lines("perplexity_results", text)
    assert flags_of(read) == {"x": ("not_published",)}
    assert (read.number, read.model, read.arm.recipe, read.value("y")) == (2, "Llama-2-7B", "int8", 1.5)
