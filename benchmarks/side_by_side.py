"""What two measurements at once on the same cores cost each other, by how their threads wait.

    CRUSHTEST_DATA=... python benchmarks/side_by_side.py [--prompts 64] [--questions 60] [--waits unset,passive,1000]

Each process completes prompts and answers the questions of `probe_qa`. One runs alone, then two at a time, released
together once both have loaded the model. For every way of waiting the table gives the seconds alone, the seconds of the
slower of two, and their ratio. Ways: `unset` (the OpenMP runtime's own: spin for long), `passive` (sleep at once), or a
number of spins before a thread sleeps. `threads=1` in place of a way runs on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

SIDES = ("prompts", "questions")


def main() -> None:
    """Run every way of waiting alone and in pairs, and print the table."""
    arguments = parse()
    if arguments.child:
        child(arguments)
        return
    print(f"{'wait':12}" + "".join(f"{side:>10} {'two':>8} {'ratio':>6}" for side in SIDES))
    for wait in arguments.waits:
        # alone twice, around the pair: the best counts, as nothing else is to be measured here
        before, pair, after = (at_once(wait, count, arguments) for count in (1, 2, 1))
        alone = {side: min(before[side], after[side]) for side in SIDES}
        cells = (f"{alone[s]:>10.2f} {pair[s]:>8.2f} {pair[s] / alone[s]:>6.1f}" for s in SIDES)
        print(f"{wait:12}" + "".join(cells), flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--waits", type=lambda text: text.split(","), default=["unset", "passive", "1000"])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def at_once(wait: str, count: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of the slowest of that many processes, by side."""
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | variables(wait)
    command = [sys.executable, __file__, "--child", "--model", arguments.model]
    command += ["--prompts", str(arguments.prompts), "--questions", str(arguments.questions)]
    children = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in children:
        assert process.stdout is not None
        process.stdout.readline()
    for process in children:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [json.loads(process.communicate()[0]) for process in children]
    return {side: max(result[side] for result in results) for side in SIDES}


def variables(wait: str) -> dict[str, str]:
    """What the environment must say for a way of waiting."""
    if wait == "unset":
        return {}
    if wait == "passive":
        return {"OMP_WAIT_POLICY": "PASSIVE"}
    if wait.startswith("threads="):
        return {"OMP_NUM_THREADS": wait.partition("=")[2]}
    return {"GOMP_SPINCOUNT": wait}


def child(arguments: argparse.Namespace) -> None:
    """Load the model, say so, and time both sides once told to."""
    from crushtest import Sampling, load_engine, load_model
    from crushtest.registry import TASKS
    from crushtest.tasks.sampling import stratified_sample
    from generation import mixed

    engine = load_engine(load_model(arguments.model, device="cpu"))
    entry = TASKS.get("probe_qa")
    task = entry.function(**entry.bind({}))
    questions = [item.request for item in stratified_sample(task.items(), arguments.questions, 0)]
    prompts = mixed(arguments.prompts)
    list(engine.choices(questions[:2]))
    print("ready", flush=True)
    sys.stdin.readline()
    times = {}
    for side, answer in zip(
        SIDES,
        (lambda: engine.generate(prompts, Sampling(max_tokens=32)), lambda: engine.choices(questions)),
        strict=True,
    ):
        began = time.monotonic()
        list(answer())
        times[side] = time.monotonic() - began
    print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
