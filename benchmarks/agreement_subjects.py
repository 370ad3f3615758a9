"""The comparisons of `agreement.py`: our items, and the harness's own task files told to read the same rows."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crushtest.data.sources import read_text
from crushtest.metrics import Metric
from crushtest.records import Item
from crushtest.registry import TASKS
from crushtest.tasks.sampling import stratified_sample

WINDOW = 2048  # of rolling perplexity, on both sides: the harness holds the logits of a whole window, twice
TWO_SUBJECTS = ("high_school_macroeconomics", "professional_psychology")


class Subject(NamedTuple):
    """One comparison: our items, the harness's task configs with the rows they read, and which metric is which.

    rows      per config, the ids of our items in the order of its rows
    metrics   ours -> theirs
    """

    name: str
    items: list[Item]
    metrics_of: tuple[Metric, ...]
    configs: list[dict[str, Any]]
    rows: list[list[str]]
    metrics: Mapping[str, str]


def subjects(items: int, articles: int, folder: Path) -> Iterator[Subject]:
    """All comparisons; the rows that the harness reads are written into `folder`."""
    yield from (mmlu(items, shots, folder) for shots in (0, 5))
    yield mmlu(items, 5, folder, TWO_SUBJECTS)
    yield hellaswag(items, folder)
    yield truthfulqa("mc1", items, folder)
    yield truthfulqa("mc2", items, folder)
    if articles:
        yield wikitext2(articles, folder)


def drawn(task: str, items: int, **options: Any) -> tuple[list[Item], tuple[Metric, ...]]:
    entry = TASKS.get(task)
    built = entry.function(**entry.bind(options))
    return stratified_sample(built.items(), items, 0), built.metrics


def mmlu(items: int, shots: int, folder: Path, only: tuple[str, ...] = ()) -> Subject:
    """300 questions of all subjects are five of each; `only` asks as many of a subject as the whole set has."""
    chosen, metrics = drawn("mmlu", items, shots=shots, subjects=only)
    by_subject: dict[str, list[Item]] = defaultdict(list)
    for item in chosen:
        by_subject[item.id.partition("/")[0]].append(item)
    configs = []
    for subject, asked in by_subject.items():
        test = csv_rows("mmlu", f"mmlu/test/{subject}_test.csv")
        rows = {
            "test": [test[int(item.id.partition("/")[2])] for item in asked],
            "dev": csv_rows("mmlu", f"mmlu/dev/{subject}_dev.csv"),
        }
        name = f"mmlu_{subject}_{shots}_{len(only)}"
        config = harness_task(f"mmlu/default/mmlu_{subject}.yaml", rows, folder / name)
        configs.append(config | {"num_fewshot": shots, "task": name})
    ids = [[item.id for item in asked] for asked in by_subject.values()]
    name = f"mmlu, {shots} shots" + (", two subjects" if only else "")
    return Subject(name, chosen, metrics, configs, ids, {"accuracy": "acc"})


def csv_rows(name: str, file: str) -> list[dict[str, Any]]:
    """Rows of an MMLU file as the hub has them."""
    rows = csv.reader(io.StringIO(read_text(name, file), newline=""))
    return [{"question": row[0], "choices": row[1:5], "answer": "ABCD".index(row[5])} for row in rows]


def hellaswag(items: int, folder: Path) -> Subject:
    chosen, metrics = drawn("hellaswag", items)
    listed = [json.loads(line) for line in read_text("hellaswag", "hellaswag_val.jsonl").split("\n") if line]
    by_id = {f"validation/{row['ind']}": row for row in listed}
    rows = [by_id[item.id] for item in chosen]
    config = harness_task("hellaswag/hellaswag.yaml", {"validation": rows}, folder / "hellaswag")
    config["training_split"] = None
    if "query" in rows[0]:  # a mirror of documents that the harness's own function has cleaned already
        config = {key: value for key, value in config.items() if key != "process_docs"} | {"doc_to_target": "{{gold}}"}
    ids = [[item.id for item in chosen]]
    names = {"accuracy": "acc", "accuracy_normalised": "acc_norm"}
    return Subject("hellaswag", chosen, metrics, [config], ids, names)


def truthfulqa(form: str, items: int, folder: Path) -> Subject:
    chosen, metrics = drawn("truthfulqa", items, forms=(form,))
    questions = json.loads(read_text("truthfulqa", "data/v1/mc_task.json"))
    rows = []
    for item in chosen:
        question = questions[int(item.id.partition("/")[2])]
        row = {"question": question["question"]}
        for targets in ("mc1_targets", "mc2_targets"):
            row[targets] = {"choices": list(question[targets]), "labels": list(question[targets].values())}
        rows.append(row)
    config = harness_task(f"truthfulqa/truthfulqa_{form}.yaml", {"validation": rows}, folder / form)
    return Subject(f"truthfulqa {form}", chosen, metrics, [config], [[item.id for item in chosen]], {form: "acc"})


def wikitext2(articles: int, folder: Path) -> Subject:
    from crushtest.tasks import wikitext2 as ours

    chosen, metrics = drawn("wikitext2", articles, protocol="documents", window=WINDOW)
    pages = ours.articles(read_text("wikitext-2-raw", "wiki.test.raw"))
    rows = [{"page": pages[int(item.id.partition("/")[2])]} for item in chosen]
    config = harness_task("wikitext/wikitext.yaml", {"test": rows}, folder / "wikitext")
    config |= {"training_split": None, "validation_split": None}
    names = {name: name for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")}
    return Subject("wikitext2", chosen, metrics, [config], [[item.id for item in chosen]], names)


def harness_task(file: str, rows: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> dict[str, Any]:
    """A task file of the harness, told to read these rows (split -> rows) instead of the hub's."""
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    folder.mkdir(parents=True)
    files = {}
    for split, listed in rows.items():
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in listed), encoding="utf-8")
        files[split] = str(path)
    config = load_yaml(Path(lm_eval.tasks.__file__).parent / file)
    config.pop("tag", None)
    return config | {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
