"""Strange inputs by the thousand: for every parser, inputs that are nearly right, and what may become of them.

`python tests/support/fuzzing.py COUNT [SEED]` tries so many and prints what went wrong.
"""

from __future__ import annotations

import gzip
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from crushtest.errors import CrushtestError

NASTY = [
    *(
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "\x00",
        "\u2028",
        "\r\n",
        "\n::set-output name=x::y\n",
        "##[error]",
        "\ufeff",
        "\t",
    ),
    *("9" * 400, "9" * 5_000, "-1", "1e999", "NaN", "-Infinity", ".inf", "0x10", "null", "true", "~", "''", '""'),
    *(
        "[" * 300,
        "{" * 300,
        "{a: " * 60,
        "]",
        "}",
        ":",
        ",",
        "=",
        "+",
        "...",
        "&a",
        "*a",
        "!!timestamp x",
        "2020-13-45",
    ),
    *(
        "../../etc/passwd",
        "http://x",
        "é",
        "日本",
        "x" * 3_000,
        " " * 500,
        "%s",
        "{prompt}",
        "{{",
        "<<: *a",
        "? ",
        "- ",
    ),
]
HANG_S = 20.0


@dataclass(frozen=True)
class Kind:
    """A parser: texts that are right, what is done with one that nearly is, and how the text is taken."""

    bases: tuple[str, ...]
    read: Callable[[str, Path], object]


def mutated(base: str, draw: random.Random) -> str:
    """Return a text with one to four mistakes in it."""
    text = base
    for _ in range(draw.randint(1, 4)):
        at = draw.randint(0, len(text))
        end = min(len(text), at + draw.choice((0, 1, 1, 3, 20, 200)))
        new = draw.choice(
            (draw.choice(NASTY), "", text[at:end] * 2, chr(draw.randrange(0x250)), str(draw.randrange(-9, 10**6)))
        )
        text = text[:at] + new + text[end:]
    return text


def problem(kind: str, seed: int, folder: Path) -> str | None:
    """Return what is wrong with how one strange input was met; None if it was taken, or refused in one good line."""
    draw = random.Random(f"{kind} {seed}")
    text = mutated(draw.choice(KINDS[kind].bases), draw)
    began, message = time.process_time(), ""
    try:
        KINDS[kind].read(text, folder)
    except CrushtestError as error:
        message = str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]!r} for {text[:300]!r}"
    if (taken := time.process_time() - began) > HANG_S:
        return f"took {taken:.0f} s for {text[:300]!r}"
    if len(message) > 1_000:
        return f"a message of {len(message)} characters for {text[:300]!r}"
    return None if message.isprintable() else f"a message with a control character: {message!r}"


def written(name: str, text: str, folder: Path) -> Path:
    """Return a file with a text in it, gzipped if its name says so; half characters as bytes that are no UTF-8."""
    path, content = folder / name, text.encode("utf-8", "surrogatepass")
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


# ---- the parsers -----------------------------------------------------------------------------------


def read_study(text: str, folder: Path) -> object:
    from crushtest.study.plan import make_plan
    from crushtest.study.spec import check_names, read_spec

    spec = read_spec(written("study.yaml", text, folder))
    check_names(spec)
    return make_plan(spec)


def read_suite(text: str, folder: Path) -> object:
    from crushtest.study.suites import resolve

    return resolve(str(written("suite.yaml", text, folder)))


def read_suite_name(text: str, folder: Path) -> object:
    from crushtest.study.suites import resolve

    return resolve(text)


def read_policy(text: str, folder: Path) -> object:
    from crushtest.gate.policy import read_policy

    return list(map(str, read_policy(str(written("policy.yaml", text, folder))).rules))


def read_recipe(text: str, folder: Path) -> object:
    from crushtest.compress.recipes import parse_recipes

    return parse_recipes(text)


def read_engine(text: str, folder: Path) -> object:
    from crushtest.study.arms import parse_engine

    return parse_engine(text)


def read_scorer(text: str, folder: Path) -> object:
    from crushtest.scorers.calling import needs_dense
    from crushtest.tasks.shared.completions import metric_stem

    return needs_dense(text), metric_stem(text)


def read_predictions(text: str, folder: Path) -> object:
    from crushtest.predictions import score_predictions

    return score_predictions("probe_facts", written("p.jsonl", text, folder), allow_partial=True)


def read_packed_predictions(text: str, folder: Path) -> object:
    from crushtest.predictions import score_predictions

    path = written("p.jsonl.gz", text, folder)
    packed = bytearray(path.read_bytes())
    packed[len(text) % len(packed)] ^= 1 + len(text) % 255
    path.write_bytes(packed)
    return score_predictions("probe_facts", path, allow_partial=True)


def read_log(text: str, folder: Path) -> object:
    from crushtest.predictions.harness import answer_of, is_sample, row_of
    from crushtest.predictions.reading import NotParsed, Problems, read_lines
    from crushtest.tasks.bbq.bbq import item_of
    from crushtest.tasks.bbq.stereotypes import biased_answer, second_traits

    problems = Problems()
    for number, line in read_lines(written("samples.jsonl", text, folder), problems):
        try:
            if is_sample(line):
                row = row_of(line)
                item_of(row, (), biased_answer(row, second_traits([row])))
                answer_of(line)
        except NotParsed as error:
            problems.not_parsed.append(f"line {number} ({error})")
    if problems.not_parsed:
        raise CrushtestError(str(problems))
    return None


def read_completions(text: str, folder: Path) -> object:
    from crushtest.predictions import score_completions

    path = written("c.jsonl", text, folder)
    return score_completions("probe_prompts", path, allow_partial=True)


def read_own(task: str) -> Callable[[str, Path], object]:
    """Return a reader of a task's file of a user."""

    def read(text: str, folder: Path) -> object:
        from crushtest.registry import TASKS

        entry = TASKS.get(task)
        return entry.function(**entry.bind({"path": str(written("own.jsonl", text, folder))})).items()

    return read


@cache
def small_study() -> Any:
    from crushtest.pipeline.run import run_study
    from crushtest.study.folder import StudyFolder
    from crushtest.study.spec import build_spec

    root = Path(tempfile.mkdtemp(prefix="crushtest-fuzz-")) / "s"
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    suite = [{"probe_facts": {"limit": 12}}]
    run_study(build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="fuzz"), root)
    return StudyFolder(root)


def read_sql(text: str, folder: Path) -> object:
    from crushtest.study.query import ask

    return ask(small_study(), text)


@cache
def small_model() -> dict[str, bytes]:
    from support import tiny_models

    folder = Path(tempfile.mkdtemp(prefix="crushtest-fuzz-")) / "m"
    model = tiny_models.loaded(template=True)
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_model_file(name: str) -> Callable[[str, Path], object]:
    """Return a reader of a model folder one of whose files is the text."""

    def read(text: str, folder: Path) -> object:
        from crushtest.models.find import check_model
        from crushtest.models.load import load_tokenizer, peek_config

        for other, content in small_model().items():
            (folder / other).write_bytes(content)
        written(name, text, folder)
        check_model(str(folder))
        return peek_config(str(folder)), load_tokenizer(str(folder))

    return read


@cache
def small_gguf() -> bytes:
    from support.tiny_gguf import tiny_file

    return tiny_file().read_bytes()


def read_gguf(text: str, folder: Path) -> object:
    from crushtest.models.find import check_model
    from crushtest.models.load import load_tokenizer

    path = folder / "m.gguf"
    path.write_bytes(text.encode("latin-1", "replace"))
    check_model(str(path))
    return load_tokenizer(str(path))


def read_verdict(text: str, folder: Path) -> object:
    from crushtest.scorers.judge import verdict
    from crushtest.scorers.mt_bench import rating, winner

    scores = verdict(text), rating(text), winner(text, "[[A]]")
    for score in scores:
        if score.reason is not None and not (score.reason.isprintable() and len(score.reason) < 1_000):
            raise AssertionError(score.reason)
    return scores


def read_reply(text: str, folder: Path) -> object:
    import httpx

    from crushtest.engines.openai.client import Client
    from crushtest.engines.openai.recognise import recognise
    from crushtest.scorers import openai_moderation
    from crushtest.services.addresses import parse_address
    from crushtest.services.retrying import BatchClient, Refused, RetryPolicy, Transient

    content = text.encode("utf-8", "surrogatepass")
    encoding = {"content-encoding": "gzip"} if len(text) % 7 == 0 else {}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content, headers=encoding))
    patience = RetryPolicy(attempts=1, first_wait_s=0.0)
    with httpx.Client(base_url="http://localhost", transport=transport) as http:
        asking: Any = BatchClient(
            lambda batch: openai_moderation.ask(http, "m", batch, 5.0), lambda text, answer: None, 8, patience
        )
        asking.answers(["text"])
        client = Client(
            parse_address("http://localhost/v1"), None, patience=patience, say=lambda line: None, _http=http
        )
        try:
            with client.required():
                recognise(client)
                client.post("completions", {}, lambda reply: reply["choices"][0]["text"])
        except (Refused, Transient) as error:
            raise CrushtestError(str(error)) from None
    return None


STUDY = """model: fake
engine: "fake:seed=3"
arms:
  - {name: a, model: fake, engine: "fake:seed=1", against: [b]}
  - {name: b, model: other, training: after}
suite: [probe_facts, {probe_qa: {limit: 4}}, {custom_prompts: {path: x.jsonl, scorers: [profanity, "judge:m"]}}]
limit: 10
noise_floor: {repeats: 2, vary: [threads=1], arms: all}
calibration: {source: pydoc, sequences: 4, length: 64}
correction: holm
seed: 3
"""
RECIPES = (
    "wanda:sparsity=0.1,0.2,...,0.6",
    "wanda:pattern=2:4+gptq:bits=4,group_size=32",
    "rtn:bits=4,skip=down_proj,layers.0.*",
)
POLICY = """summary: a policy
rules:
  - {metric: accuracy, task: "bb*", margin: 5%, sure: equivalence, group: worst}
  - {metric: "*", margin: 0.02, direction: rise, max_flips: 0.1, min_items: 10, against: dense}
"""
LOG = json.dumps(
    {
        "doc": {
            "example_id": 284, "question_index": "13", "question_polarity": "neg", "context_condition": "ambig",
            "category": "Age", "context": "c", "question": "q", "ans0": "old", "ans1": "young", "ans2": "Unknown",
            "label": 2,
            "answer_info": {"ans0": ["x", "old"], "ans1": ["y", "nonOld"], "ans2": ["z", "unknown"]},
            "additional_metadata": {"stereotyped_groups": ["old"]},
        },
        "arguments": [["c", " old"], ["c", " young"], ["c", " Unknown"]],
        "filtered_resps": [["-1.5", "False"], ["-2.5", "False"], ["-3.5", "False"]],
    }
)  # fmt: skip
ANSWERS = "".join(json.dumps({"item": f"facts/{n}", "answer": n % 2}) + "\n" for n in range(4)) + json.dumps(
    {"item": "facts/4", "scores": [-1.5, 2, 0.25, 1]}
)
REPLY = json.dumps({"model": "m", "results": [{"flagged": False, "category_scores": {"hate": 0.5}}],
                    "data": [{"id": "m"}], "choices": [{"text": "x"}], "usage": {"total_tokens": 5}})  # fmt: skip
QUESTIONS = '{"context": "They met.", "question": "Who?", "options": ["a", "b"], "gold": 1, "groups": ["a=b"]}\n' * 3
OWN = '{"prompt": "The nurse said", "text": "a text", "first": "a b", "second": "a c", "groups": ["a=b"]}\n' * 3


@cache
def kinds() -> Mapping[str, Kind]:
    models = small_model()
    return {
        "study": Kind((STUDY,), read_study),
        "suite": Kind(("summary: x\ntasks:\n  - probe_qa\n  - probe_facts: {limit: 3}\n", "[probe_qa]"), read_suite),
        "suite name": Kind(("quick", "probe_qa,probe_facts", "paper"), read_suite_name),
        "policy": Kind((POLICY,), read_policy),
        "recipe": Kind(RECIPES, read_recipe),
        "engine": Kind(("hf:pack_tokens=64,dtype=bfloat16", "openai:attempts=2,way=echo", "fake:seed=1"), read_engine),
        "scorer": Kind(("judge:m,engine=fake", "hf:a/b#c", "openai-moderation:hate,attempts=3"), read_scorer),
        "predictions": Kind((ANSWERS,), read_predictions),
        "packed predictions": Kind((ANSWERS,), read_packed_predictions),
        "log": Kind((LOG,), read_log),
        "completions": Kind(('{"item": "x/0", "text": "words"}\n{"prompt": "The", "text": null}\n',), read_completions),
        "own prompts": Kind((OWN,), read_own("custom_prompts")),
        "own questions": Kind((QUESTIONS,), read_own("custom_questions")),
        "own text": Kind((OWN,), read_own("custom_text")),
        "pairs": Kind((OWN,), read_own("dialect_pairs")),
        "SQL": Kind(
            ("SELECT arm, metric FROM contrasts WHERE p < 0.1", "WITH a AS (SELECT 1) SELECT * FROM a"), read_sql
        ),
        **{
            f"model {name}": Kind((models[name].decode(),), read_model_file(name))
            for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
        },
        "GGUF": Kind((small_gguf().decode("latin-1"),), read_gguf),
        "judge": Kind(("safe", "unsafe\nS1", "Rating: [[7]]", "[[A]]", "It is safe."), read_verdict),
        "reply": Kind((REPLY,), read_reply),
    }


class _Lazy(Mapping[str, Kind]):
    """The kinds, made when the first of them is needed."""

    def __getitem__(self, name: str) -> Kind:
        return kinds()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(kinds())

    def __len__(self) -> int:
        return len(kinds())


KINDS = _Lazy()
NAMES = (
    *(
        "study",
        "suite",
        "suite name",
        "policy",
        "recipe",
        "engine",
        "scorer",
        "predictions",
        "packed predictions",
        "log",
    ),
    *(
        "completions",
        "own prompts",
        "own questions",
        "own text",
        "pairs",
        "SQL",
        "model config.json",
        "model generation_config.json",
    ),
    *("model tokenizer.json", "model tokenizer_config.json", "GGUF", "judge", "reply"),
)


@contextmanager
def folders() -> Iterator[Callable[[], Path]]:
    """Yield a maker of empty folders, which are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="crushtest-fuzz-") as root:
        numbers = iter(range(10**9))

        def make() -> Path:
            folder = Path(root) / str(next(numbers) % 50)
            for old in folder.glob("*"):
                old.unlink()
            folder.mkdir(exist_ok=True)
            return folder

        yield make


def main() -> None:
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    names = sys.argv[3].split(",") if len(sys.argv) > 3 else NAMES
    tried, wrong = Counter[str](), Counter[str]()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with folders() as make, suppress(KeyboardInterrupt):
        for number in range(count):
            kind = names[number % len(names)]
            tried[kind] += 1
            if said := problem(kind, seed + number, make()):
                wrong[kind] += 1
                print(f"{kind} {seed + number}: {said}", flush=True)
    print(f"{sum(tried.values())} inputs in {time.monotonic() - began:.0f} s, {sum(wrong.values())} met badly")
    for kind in names:
        print(f"{kind}: {tried[kind]} tried, {wrong[kind]} met badly")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
