"""Text that people have labelled, read from a mirror of the data sets: harmful or not, refused or not."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import NamedTuple

CATEGORIES = {
    **{"S": "sexual", "S3": "sexual, minors", "H": "hate", "H2": "hate, threatening", "HR": "harassment"},
    **{"SH": "self-harm", "V": "violence", "V2": "violence, graphic"},
}
TARGETS = ("black people", "disabled people", "gay people", "immigrants", "Muslims", "trans people", "women")
HARMLESS = {
    "ident_neutral_nh": "a group is named, neutrally",
    "ident_pos_nh": "a group is named, with praise",
    "profanity_nh": "profanity that hurts nobody",
    "slur_reclaimed_nh": "slurs used by those they were meant for",
    "slur_homonym_nh": "words that only look like slurs",
    "negate_neg_nh": "hate that is negated",
    "counter_quote_nh": "counter speech that quotes hate",
    "counter_ref_nh": "counter speech that refers to hate",
    "target_obj_nh": "abuse of things",
    "target_indiv_nh": "abuse of a person without a group",
    "target_group_nh": "abuse of groups that are not protected",
}


XSTEST = {
    **{"gpt4": "GPT-4", "llama2orig": "Llama-2-chat (llama2orig)", "llama2new": "Llama-2-chat (llama2new)"},
    "mistralinstruct": "Mistral-Instruct",
}
FULL_REFUSAL, PARTIAL_REFUSAL, COMPLIANCE = "2_full_refusal", "3_partial_refusal", "1_full_compliance"
ANSWERED = ("GPT4", "ChatGPT", "Claude", "ChatGLM2", "llama2-7b-chat", "vicuna-7b")


class Slice(NamedTuple):
    """Labelled texts under one name; `harmful` is what its people said (in sets of refusals: refused)."""

    name: str
    texts: list[str]
    harmful: list[bool]


def hatecheck(folder: Path) -> tuple[list[Slice], list[Slice]]:
    """(all and per target group; harmless cases alone: per target group that is only named, per kind)."""
    with (folder / "hatecheck" / "test_suite_cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def those(name: str, kept: list[dict[str, str]]) -> Slice:
        return Slice(name, [row["test_case"] for row in kept], [row["label_gold"] == "hateful" for row in kept])

    per_target = {target: [row for row in rows if row["target_ident"] == target] for target in TARGETS}
    only_named = [
        those(f"{target}, only named", [row for row in mine if row["functionality"].startswith("ident_")])
        for target, mine in per_target.items()
    ]
    kinds = [those(words, [row for row in rows if row["functionality"] == kind]) for kind, words in HARMLESS.items()]
    return [those("all", rows), *(those(target, mine) for target, mine in per_target.items())], [*only_named, *kinds]


def _first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def openai_moderation(folder: Path) -> list[Slice]:
    """Any category against none (a label that is not given counts as none), then each against its given 0s."""
    with gzip.open(folder / "openai_moderation" / "samples-1680.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    slices = [Slice("any category", [r["prompt"] for r in rows], [any(r.get(c) for c in CATEGORIES) for r in rows])]
    for category, words in CATEGORIES.items():
        given = [row for row in rows if category in row]
        slices.append(Slice(words, [row["prompt"] for row in given], [bool(row[category]) for row in given]))
    return slices


def davidson(folder: Path) -> list[Slice]:
    """Tweets that most of three people or more called hate speech (0), offensive (1) or neither (2)."""
    with (folder / "davidson" / "labeled_data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def those(name: str, harmful: str, harmless: str) -> Slice:
        kept = [row for row in rows if row["class"] in harmful + harmless]
        return Slice(name, [row["tweet"] for row in kept], [row["class"] in harmful for row in kept])

    return [
        those("hate or offensive against neither", "01", "2"),
        those("hate against neither", "0", "2"),
        those("hate against offensive", "0", "1"),
    ]


def xstest(folder: Path) -> list[Slice]:
    """Answers to XSTest that two people labelled; where they differ, `final_label` is what they agreed on."""
    rows = []
    for model in XSTEST:
        with (folder / "xstest" / f"xstest_v2_completions_{model}.csv").open(encoding="utf-8", newline="") as file:
            rows += [row | {"model": model} for row in csv.DictReader(file)]

    def those(name: str, *labels: str, model: str | None = None) -> Slice:
        kept = [row for row in rows if row["final_label"] in labels and model in (None, row["model"])]
        return Slice(name, [row["completion"] for row in kept], [row["final_label"] != COMPLIANCE for row in kept])

    every = (FULL_REFUSAL, PARTIAL_REFUSAL, COMPLIANCE)
    return [
        those("four models", *every),
        *(those(name, *every, model=model) for model, name in XSTEST.items()),
        *(those(f"{name}, full refusals", FULL_REFUSAL, COMPLIANCE, model=model) for model, name in XSTEST.items()),
        those("four models, partial refusals", PARTIAL_REFUSAL, COMPLIANCE),
    ]


def chatgpt_refusals(folder: Path) -> list[Slice]:
    """ChatGPT's answers of 2023 whose tone people named."""
    rows = json.loads((folder / "chatgpt_refusals" / "data" / "all_hand_labeled.json").read_text("utf-8"))

    def those(name: str, *tones: str) -> Slice:
        kept = [row for row in rows if row["tone"] in tones]
        return Slice(name, [row["response"] for row in kept], [row["tone"] == "rejected" for row in kept])

    return [
        those("rejected against complied", "rejected", "complied"),
        *(those(f"tone: {tone}", tone) for tone in ("redirected", "contradicted", "disclaimed", "dontknow")),
    ]


def do_not_answer(folder: Path) -> list[Slice]:
    """Six models' answers whose action people named: 0 declines, ..., 4 cannot or does not know, 5 follows."""
    with (folder / "do_not_answer" / "datasets" / "data_en.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [
            (row[f"{model}_response"], row[f"{model}_action"]) for row in csv.DictReader(file) for model in ANSWERED
        ]

    def those(name: str, actions: str) -> Slice:
        kept = [(text, action) for text, action in rows if action and action in actions]
        return Slice(name, [text for text, _ in kept], [action == "0" for _, action in kept])

    return [
        those("declines against follows", "05"),
        those("contradicts", "1"),
        those("shows both sides", "2"),
        those("disclaimer or expert", "3"),
        those("cannot or does not know", "4"),
    ]


def ordinary(folder: Path) -> list[Slice]:
    """Text in which nobody declines a request, or hardly anybody."""
    lines = (folder / "wikitext-2-raw" / "wiki.valid.raw").read_text("utf-8").splitlines()
    paragraphs = [line for line in lines if len(line) > 200]
    with gzip.open(_first(folder / "c4_sample", "*.gz"), "rt", encoding="utf-8") as file:
        pages = [json.loads(line)["text"] for line in file]
    return [
        Slice(name, texts, [False] * len(texts))
        for name, texts in {"Wikipedia": paragraphs, "web pages": pages}.items()
    ]
