"""The llamacpp engine beside `hf`, and beside itself, on BBQ questions: agreement, noise and speed.

    CRUSHTEST_DATA=... python benchmarks/llamacpp.py --items 24 --files FOLDER [--types F32,Q8_0,Q4_1] [--timed F32]

Files of other types are made from the demo's Q4_1 file in FOLDER, where they stay. Each type is scored in packs, in
packs of a quarter of the size, and one line at a time; then packs and single lines are timed in turn, without and with
five examples in front. The scores of `hf` are those of the Q4_1 file, dequantized to float32, which F32 holds exactly.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crushtest import Choices, load_engine
from crushtest.engines.llamacpp.requantize import requantize
from crushtest.models.demo import find_gguf
from scoring import bbq, processor, take_turns

EXACT = {"kv": "f32", "flash": "off"}


def main() -> None:
    """Print agreement for each type and store, then what sharing gains."""
    arguments = parse()
    torch.set_num_threads(1)
    if arguments.only_files:
        print("\n".join(str(file_of(arguments.files, file_type)) for file_type in arguments.types))
        return
    questions = bbq(arguments.items, 0)
    print(f"{len(questions)} questions, {len(questions) * 3} options; 1 thread, {processor()}")
    reference = scores(load_engine("demo", device="cpu"), questions)
    for file_type in arguments.types:
        path = file_of(arguments.files, file_type)
        for store in (EXACT, {"kv": "f16", "flash": "auto"}):
            engine = llama(path, **store)
            packs, quarter = scores(engine, questions), scores(llama(path, pack_tokens=128, **store), questions)
            plain = np.concatenate([scores(engine, [alone]) for alone in singly(questions)])
            name = f"{file_type} kv={store['kv']} flash={store['flash']}"
            print(f"{name:26} against hf {far(packs, reference)}; picks that differ {flips(packs, reference)}")
            print(
                f"{'':26} packs of 512 {far(packs, quarter)}, {flips(packs, quarter)}; single lines {far(packs, plain)}"
            )
    for file_type in arguments.timed:
        for shots in (0, 5):
            time_packs(
                llama(file_of(arguments.files, file_type), **EXACT), file_type, bbq(arguments.items, shots), shots
            )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--only-files", action="store_true", help="make the files, and stop")
    parser.add_argument("--types", type=lambda text: text.split(","), default=["F32", "Q8_0", "Q4_1"])
    parser.add_argument("--timed", type=lambda text: text.split(","), default=["F32"])
    return parser.parse_args()


def file_of(folder: Path, file_type: str) -> Path:
    """The demo in this type; made if it is missing. Types but Q4_1 and F32 are made from F32."""
    if file_type == "Q4_1":
        return find_gguf()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"demo-{file_type}.gguf"
    if not path.is_file():
        requantize(find_gguf() if file_type == "F32" else file_of(folder, "F32"), path, file_type)
    return path


def llama(path: Path, **options: Any) -> Any:
    """The engine on one file."""
    return load_engine(str(path), engine="llamacpp", threads=1, **options)


def singly(questions: list[Choices]) -> list[Choices]:
    """Every option as a question of its own, which shares nothing."""
    return [Choices(question.context, (option,)) for question in questions for option in question.options]


def scores(engine: Any, questions: list[Choices]) -> np.ndarray[Any, Any]:
    """Log-likelihoods of all options, in nats."""
    answers = sorted(engine.choices(questions), key=lambda pair: pair[0])
    return np.array([logprob for _, answer in answers for logprob in answer.logprobs])


def far(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> str:
    """Mean and largest difference."""
    difference = np.abs(ours - theirs)
    return f"mean {difference.mean():.1e}, largest {difference.max():.1e}"


def flips(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> str:
    """How many questions get another option."""
    picks = [values.reshape(-1, 3).argmax(1) for values in (ours, theirs)]
    return f"{int((picks[0] != picks[1]).sum())} of {len(picks[0])}"


def time_packs(engine: Any, name: str, questions: list[Choices], shots: int) -> None:
    """Print what packs gain over one line at a time."""
    timed = take_turns(
        {
            "packs": lambda: scores(engine, questions),
            "lines": lambda: np.concatenate([scores(engine, [alone]) for alone in singly(questions)]),
        },
        1,
    )
    packs, lines = timed["packs"], timed["lines"]
    rate = len(questions) / packs.wall_s
    print(
        f"{name}, {shots} examples: {rate:.1f} questions/s in packs, {lines.wall_s / packs.wall_s:.1f} times single "
        f"lines; {far(packs.result, lines.result)}"
    )


if __name__ == "__main__":
    main()
