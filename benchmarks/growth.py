"""How cost grows with a study: processor seconds and peak memory of each stage, a process of its own per stage.

    python benchmarks/growth.py --items 1000,10000,100000 --arms 2 --groups 20 [--cluster 20] [--folder DIR]
    python benchmarks/growth.py --items 100000 --arms 1,5,20,50

Every combination of items, arms and groups is a study of one task, `custom_questions`, which has eight metrics:
questions with three options about one group of each of two attributes, so that half of `--groups` belongs to each.
`--cluster` questions in a row share a template. The engine `fake` answers, with another seed in each arm.

    plan      read the questions, check them, write items and study file
    append    what asking all arms costs beyond the engine's own time
    finish    lines to Parquet
    answers   in place of these two: Parquet at once, of answers drawn by columns, from the distribution that the
              engine's are from. It measures nothing of the project; it makes large studies in little time
    compare   estimates and contrasts, from the files alone
    report    the page

Processor seconds are those of all threads. Where a study has been made with --folder, the stages that are done are
left out: `--stages compare,report` measures these two again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crushtest.study.folder import StudyFolder

STAGES = ("plan", "append", "finish", "answers", "compare", "report")
USUAL = ("plan", "append", "finish", "compare", "report")
ATTRIBUTES = ("age", "origin")


def write_questions(path: Path, items: int, groups: int, cluster: int) -> None:
    """Write questions about people, half of them without a context that decides."""
    drawn = random.Random(f"{items} {groups} {cluster}")
    of_attribute = max(1, groups // len(ATTRIBUTES))
    with path.open("w", encoding="utf-8") as file:
        for number in range(items):
            about = {name: f"{name}{drawn.randrange(of_attribute)}" for name in ATTRIBUTES}
            row = {
                "context": f"Case {number}: a person from {about['origin']} met a person from elsewhere at the desk.",
                "question": "Who was late?" if number % 2 else "Who was early?",
                "options": [f"the person from {about['origin']}", "the other person", "cannot be known"],
                "gold": drawn.choice((0, 1, 2, 2)),
                "unknown": 2,
                "stereotyped": number % 2,
                "groups": about,
                "cluster": f"template {number // cluster}",
            }
            file.write(json.dumps(row) + "\n")


def study_of(folder: Path, arms: int) -> dict[str, object]:
    """Return a study file's content: dense and `arms` others, which answer otherwise."""
    questions = str(folder / "questions.jsonl")
    others = [{"name": f"arm {seed}", "model": "none", "engine": f"fake:seed={seed}"} for seed in range(1, arms + 1)]
    return {"model": "none", "engine": "fake", "arms": others, "suite": [{"custom_questions": {"path": questions}}]}


# ---- in the process of one stage --------------------------------------------------------------------


def run_stage(stage: str, folder: Path, arms: int) -> dict[str, float]:
    """Run one stage of a study; return its processor seconds, its wall time and the process's peak memory."""
    from crushtest.pipeline import checked, compare, page, run
    from crushtest.pipeline.ask import answers_of, ask
    from crushtest.progress import Lines
    from crushtest.study import manifest
    from crushtest.study.folder import StudyFolder
    from crushtest.study.plan import make_plan, stored_plan
    from crushtest.study.spec import build_spec

    study = StudyFolder(folder / "study")
    spec = build_spec(study_of(folder, arms), where="benchmark")
    plan = make_plan(spec) if stage == "plan" else stored_plan(study.specification)
    items = study.read_items("custom_questions") if stage in ("append", "finish") else []
    engines_s = sum(engine_seconds(arm, items) for arm in plan.arms) if stage == "append" else 0.0
    began, began_wall = time.process_time(), time.perf_counter()
    match stage:
        case "plan":
            study.root.mkdir(exist_ok=True)
            run.open_study(study, spec, plan, checked.draw_items(study, plan).items)
            manifest.start(study.manifest, command=["benchmark"], seed=plan.seed)
        case "append":
            for arm in plan.arms:
                log = answers_of(study, arm, plan.tasks[0])
                for _ in ask(engine_of(arm), plan.tasks[0], items, log):
                    pass
                log.close()
        case "finish":
            for arm in plan.arms:
                answers_of(study, arm, plan.tasks[0]).finish([item.id for item in items])
        case "answers":
            for seed, arm in enumerate(plan.arms):
                draw_answers(study, arm.name, seed)
        case "compare":
            compare.compare(study, plan, Lines())
        case "report":
            page.write_page(study)
    return {
        "processor_s": time.process_time() - began - engines_s,
        "wall_s": time.perf_counter() - began_wall,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "page_mb": study.report.stat().st_size / 1e6 if stage == "report" else 0.0,
    }


def draw_answers(study: StudyFolder, arm: str, seed: int) -> None:
    """Write an arm's answers: log-likelihoods between -5 nats per word and 0, as those of the engine `fake`."""
    import numpy as np
    import polars as pl

    from crushtest.files.parquet import Label, digests, write_frame
    from crushtest.study.rows import ANSWERS

    items, schema = study.items_path("custom_questions"), ANSWERS["choices"].schema
    word = pl.element().str.strip_chars().str.count_matches(" ") + 1
    answers = study.items_table("custom_questions").select(
        "item",
        pl.col("options").list.eval(word).cast(schema["tokens"]).alias("tokens"),
        pl.col("options").list.eval(pl.element().str.len_bytes()).cast(schema["bytes"]).alias("bytes"),
    )
    drawn = np.random.default_rng(seed).random(answers["tokens"].list.len().sum())
    each = answers.select("item", "tokens").explode("tokens")
    each = each.with_columns((-5.0 * pl.col("tokens") * pl.Series(drawn)).alias("logprobs"))
    logprobs = each.group_by("item", maintain_order=True).agg("logprobs")["logprobs"]
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in answers.columns]
    frame = answers.with_columns(missing).with_columns(logprobs.alias("logprobs")).select(list(schema))
    facts = {"kind": "answers", "arm": arm, "repeat": 0, "task": "custom_questions"}
    write_frame(
        study.answers(arm, "custom_questions", "choices").final, frame, Label(facts, digests(study.root, [items]))
    )


def engine_of(arm):  # type: ignore[no-untyped-def]
    from crushtest.engines import load_engine

    return load_engine(arm.model, engine=arm.engine, **arm.engine_options)


def engine_seconds(arm, items) -> float:  # type: ignore[no-untyped-def]
    """Return the processor seconds that the engine alone needs for the answers of an arm."""
    began = time.process_time()
    for _ in engine_of(arm).choices([item.request for item in items]):
        pass
    return time.process_time() - began


# ---- all studies ------------------------------------------------------------------------------------


def measure(folder: Path, stages: list[str], arms: int) -> dict[str, dict[str, float]]:
    """Run stages of a study, each in a process of its own."""
    measured = {}
    for stage in stages:
        command = [sys.executable, __file__, "--in-process", stage, "--folder", str(folder), "--arms", str(arms)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        measured[stage] = json.loads(output.splitlines()[-1])
    return measured


def main() -> None:
    """Measure every combination and print a line for each stage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", default="1000,10000")
    parser.add_argument("--arms", default="2")
    parser.add_argument("--groups", default="20")
    parser.add_argument("--cluster", type=int, default=20)
    parser.add_argument("--stages", default=",".join(USUAL))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--in-process", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        print(json.dumps(run_stage(options.in_process, options.folder, int(options.arms))))
        return
    print("| items | arms | groups | stage | processor s | per item and arm | peak GB | wall s | load |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    numbers = (map(int, getattr(options, name).split(",")) for name in ("items", "arms", "groups"))
    for items, arms, groups in product(*numbers):
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.folder or Path(temporary)) / f"{items} x {arms} x {groups} x {options.cluster}"
            folder.mkdir(parents=True, exist_ok=True)
            stages = options.stages.split(",")
            if "plan" in stages:
                write_questions(folder / "questions.jsonl", items, groups, options.cluster)
            for stage, cost in measure(folder, stages, arms).items():
                each_us = cost["processor_s"] / items / (1 if stage == "plan" else arms + 1) * 1e6
                note = f" (page {cost['page_mb']:.1f} MB)" if cost["page_mb"] else ""
                print(
                    f"| {items:,} | {arms} | {groups:,} | {stage}{note} | {cost['processor_s']:.1f} | {each_us:.1f} µs "
                    f"| {cost['peak_gb']:.2f} | {cost['wall_s']:.1f} | {os.getloadavg()[0]:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
