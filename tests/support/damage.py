"""Damages a finished study in every way that happens to files, and sees what each reading command makes of it.

`python -m support.damage STUDY [--every N | --drawn N] [--seed S]` (with tests/ and src/ on PYTHONPATH) attacks a real
study and counts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import polars as pl
import yaml

from crushtest.cli.app import main
from crushtest.cli.unexpected import EXIT_CODE

TOO_LONG_S = 120
LONGEST_MESSAGE = 1_000
EASY = "rules: [{metric: '*', min_items: 1, max_unscored: 1.0, min_clusters: 1}]"
"""A policy that passes on any study that is measured: whatever keeps it from passing is the damage."""


@dataclass(frozen=True)
class Damage:
    """One way to damage one file."""

    file: str
    name: str
    apply: Callable[[Path], None]

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


@dataclass(frozen=True)
class Call:
    """What a command made of a study: exit code, all that it printed, and the numbers it left or printed."""

    code: int
    text: str
    numbers: str


@dataclass
class Tally:
    """What went wrong in an attack, and how much was tried."""

    damages: int = 0
    calls: int = 0
    wrong: list[str] = field(default_factory=list)


# ---- damages ----------------------------------------------------------------------------------------


def damages(study: Path, seed: int = 0) -> Iterator[Damage]:
    """Every damage of every file of a study but its page."""
    for path in sorted(study.rglob("*")):
        if path.is_file() and path.suffix in (".parquet", ".json", ".yaml"):
            name = path.relative_to(study).as_posix()
            for what, change in _of_any_file(random.Random(f"{seed} {name}")).items():
                yield Damage(name, what, change)
            if path.suffix == ".parquet":
                for what, change in _of_a_table(path).items():
                    yield Damage(name, what, change)
                for other in _others(study, path):
                    yield Damage(name, f"replaced by {other.relative_to(study)}", _copy(other.read_bytes()))
            if path.suffix == ".json":
                for text in ("[]", "{}", "null", '{"layers": 5}', '{"layers": [5]}', '{"arms": [1]}', "[" * 100_000):
                    yield Damage(name, f"holds {text[:16]}", _copy(text.encode()))


def _of_any_file(rng: random.Random) -> dict[str, Callable[[Path], None]]:
    def cut(share: float) -> Callable[[Path], None]:
        return lambda path: path.write_bytes(path.read_bytes()[: int(share * len(path.read_bytes()))])

    def flip(place: float, bit: int) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            content = bytearray(path.read_bytes())
            content[int(place * len(content))] ^= 1 << bit
            path.write_bytes(content)

        return change

    def in_place_of(make: Callable[[Path], None]) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            path.unlink()
            make(path)

        return change

    random_bytes = rng.randbytes(2000)
    return {
        "empty": cut(0),
        **{f"cut at {share:.0%}": cut(share) for share in (0.01, 0.5, 0.9, 0.999)},
        **{f"bit flipped at {place:.0%}": flip(place, rng.randrange(8)) for place in (0.1, 0.3, 0.6, 0.8, 0.95)},
        "random bytes": _copy(random_bytes),
        "deleted": Path.unlink,
        "a link to itself": in_place_of(lambda path: path.symlink_to(path.name)),
        "a pipe": in_place_of(os.mkfifo),
        "a folder": in_place_of(Path.mkdir),
    }


def _copy(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.unlink(), path.write_bytes(content), None)[-1]


def _of_a_table(path: Path) -> dict[str, Callable[[Path], None]]:
    frame = pl.read_parquet(path, glob=False)
    label = {key: value for key, value in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
    first = frame.columns[0]
    numbers = [name for name, dtype in frame.schema.items() if dtype == pl.Float64 and frame[name].count()]
    changed = {
        "a row dropped": frame.slice(1),
        "all rows dropped": frame.clear(),
        "a row doubled": pl.concat([frame, frame.head(1)]),
        "a row in another's place": pl.concat([frame.slice(1), frame.tail(1)]),
        f"{first} rotated": frame.with_columns(pl.Series(first, [*frame[first][1:], frame[first][0]])),
        "rows reversed": frame.reverse(),
        f"{first} renamed": frame.rename({first: "other"}),
        f"{first} emptied": frame.with_columns(pl.lit(None, pl.String).alias(first)),
        "a column added": frame.with_columns(pl.lit(1).alias("added")),
    }
    for name in numbers[:3]:
        changed |= {
            f"{name} dropped": frame.drop(name),
            f"{name} as text": frame.with_columns(pl.col(name).cast(pl.String)),
            f"{name} NaN": frame.with_columns(pl.lit(float("nan")).alias(name)),
            f"{name} infinite": frame.with_columns(pl.lit(float("inf")).alias(name)),
            f"{name} moved": frame.with_columns(pl.col(name) + 0.25),
        }
    for name, dtype in frame.schema.items():
        if dtype == pl.List(pl.Float64):
            changed |= {
                f"{name} NaN": frame.with_columns(pl.lit([float("nan")] * 3).alias(name)),
                f"{name} as text": frame.with_columns(pl.col(name).cast(pl.List(pl.String))),
                f"{name} turned": frame.with_columns(pl.col(name).list.reverse()),
            }
    kept = {"a row dropped", f"{first} rotated", *(f"{name} moved" for name in numbers[:1])}
    return {what: _write(table, {}) for what, table in changed.items()} | {
        f"{what}, label kept": _write(changed[what], label) for what in kept
    }


def _write(frame: pl.DataFrame, metadata: dict[str, str]) -> Callable[[Path], None]:
    content = io.BytesIO()
    frame.write_parquet(content, metadata=metadata or None)
    return _copy(content.getvalue())


def _others(study: Path, path: Path) -> list[Path]:
    """Tables with other content that could stand in the place of a file: of another arm, task, scorer, repeat, kind."""
    inside = path.relative_to(study).parts
    alike = [
        other
        for other in sorted(study.rglob("*.parquet"))
        if other != path
        and other.read_bytes() != path.read_bytes()
        and (other.name == path.name or other.parent == path.parent)
    ]
    same_kind = [other for other in alike if set(inside) & set(other.relative_to(study).parts) - {path.name}]
    return [*same_kind[:4], *[other for other in alike if other not in same_kind][:2]]


def drawn(study: Path, seed: int, count: int) -> Iterator[Damage]:
    """Damages at random: of bytes anywhere in any file, of values in JSON and YAML files, of cells and types in tables.

    Those of tables keep the label, so that only the content tells.
    """
    rng = random.Random(f"drawn {seed}")
    files = [path for path in sorted(study.rglob("*")) if path.suffix in (".parquet", ".json", ".yaml")]
    for number in range(count):
        path = files[rng.randrange(len(files))]
        content = path.read_bytes()
        kind = rng.choice(("bytes", "inside", "inside"))
        if kind == "bytes":
            what, changed = _bytes_changed(content, rng)
        elif path.suffix == ".parquet":
            what, changed = _table_changed(path, rng)
        else:
            what, changed = _value_changed(path, rng)
        if changed != content:
            yield Damage(path.relative_to(study).as_posix(), f"drawn {number}: {what}", _copy(changed))


def _bytes_changed(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Flip bits, or lose, double, blank, overwrite or exchange a stretch."""
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.choice((1, 2, 4, 16, 64, 512)))
    stretch, between = content[start:end], content[end : end + len(content[start:end])]
    ways = {
        "flipped": bytes(byte ^ (1 << rng.randrange(8)) for byte in stretch),
        "lost": b"",
        "doubled": stretch * 2,
        "blanked": b"\0" * len(stretch),
        "overwritten": rng.randbytes(len(stretch)),
    }
    what = rng.choice((*ways, "exchanged"))
    if what == "exchanged":
        return f"bytes {start}-{end} exchanged", content[:start] + between + stretch + content[end + len(between) :]
    return f"bytes {start}-{end} {what}", content[:start] + ways[what] + content[end:]


ODD: tuple[Any, ...] = (
    None,
    [],
    {},
    "",
    -1,
    0,
    10**30,
    1e308,
    True,
    "x" * 3_000,
    "\x1b[2J\u202e",
    "../..",
    [[1]],
    {"a": None},
)


def _value_changed(path: Path, rng: random.Random) -> tuple[str, bytes]:
    """Replace, remove or rename a value anywhere in a JSON or YAML file."""
    is_json = path.suffix == ".json"
    content = json.loads(path.read_text()) if is_json else yaml.safe_load(path.read_text())
    places = list(_places(content))
    holder, key = places[rng.randrange(len(places))]
    what = rng.choice(("replaced", "replaced", "removed", "renamed"))
    if what == "removed":
        del holder[key]
    elif what == "renamed" and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    else:
        holder[key] = odd = rng.choice(ODD)
        what = f"is {str(odd)[:12]!r}"
    seal, _, _ = path.read_text().partition("\n")
    text = json.dumps(content, indent=2) if is_json else f"{seal}\n{yaml.safe_dump(content, sort_keys=False)}"
    return f"{key} {what}", text.encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from _places(content[key])


def _table_changed(path: Path, rng: random.Random) -> tuple[str, bytes]:
    """Exchange two cells of a column, or give a column another type, another order, no values or no name."""
    frame = pl.read_parquet(path, glob=False)
    label = {key: value for key, value in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
    name = rng.choice(frame.columns)
    column = frame[name]
    what = rng.choice(("cast", "shuffled", "emptied", "dropped", "renamed", "one cell", "nested"))
    match what:
        case "cast":
            to = rng.choice((pl.Int8, pl.Float32, pl.Boolean, pl.Binary, pl.Date, pl.Null))
            made = frame.with_columns(pl.Series(name, [None] * len(column), dtype=to))
            what = f"cast to {to}"
        case "shuffled":
            made = frame.with_columns(column.shuffle(seed=rng.randrange(1000)))
        case "emptied":
            made = frame.with_columns(pl.lit(None, column.dtype).alias(name))
        case "dropped":
            made = frame.drop(name)
        case "renamed":
            made = frame.rename({name: rng.choice(("", "x" * 2_000, f"{name} ", "\x1b[2J"))})
        case "nested":
            made = frame.with_columns(pl.concat_list(name).alias(name))
        case _:
            values = column.to_list()
            at = rng.randrange(len(values)) if values else 0
            values[at : at + 1] = [None]
            made = frame.with_columns(pl.Series(name, values[: len(column)], dtype=column.dtype))
    out = io.BytesIO()
    made.write_parquet(out, metadata=label or None)
    return f"{name} {what}", out.getvalue()


def whole_arms(study: Path) -> Iterator[Damage]:
    """One arm's answers and scores over another's."""
    arms = [path for path in sorted((study / "arms").iterdir()) if path.is_dir()]
    for arm in arms:
        for other in arms:
            if arm != other:

                def swap(path: Path, source: Path = other) -> None:
                    for part in ("answers", "scores"):
                        if (source / part).exists():
                            shutil.copytree(source / part, path / part, dirs_exist_ok=True)

                yield Damage(f"arms/{arm.name}", f"holds the answers and scores of {other.name}", swap)


# ---- commands ---------------------------------------------------------------------------------------


def call(study: Path, arguments: list[str], results: tuple[str, ...] = ()) -> Call:
    """Run one command in this process, as the console script does."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["crushtest", *arguments]),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        _alarm(),
        warnings.catch_warnings(),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except TimeoutError:
            code = -1
    left = [_content(study / name) for name in results]
    return Call(code, out.getvalue() + err.getvalue(), "\n".join(left) or out.getvalue())


def _content(path: Path) -> str:
    return path.read_bytes().hex() if path.is_file() else "none"


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(TOO_LONG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


SQL = """SELECT (SELECT sum(value) FROM estimates), (SELECT sum(difference) FROM contrasts),
(SELECT count(*) FROM items),
(SELECT md5(string_agg(answers::VARCHAR, '' ORDER BY answers::VARCHAR)) FROM answers)"""
TABLES = ("estimates.parquet", "contrasts.parquet", "noise.parquet")


def commands(study: Path, policy: Path) -> dict[str, Callable[[], Call]]:
    """Every command that reads a study. Those that may write come last."""
    root = str(study)
    return {
        "verify": lambda: call(study, ["verify", root]),
        "gate": lambda: call(study, ["gate", root, "--policy", str(policy)]),
        "query": lambda: call(study, ["query", root, SQL]),
        "card": lambda: call(study, ["card", root], ("cards",)),
        "report": lambda: call(study, ["report", root], ("report.html",)),
        "compare": lambda: call(study, ["compare", root], TABLES),
        "run": lambda: call(study, ["run", "--study", f"{root}/../spec.yaml", "--out", root], TABLES),
    }


REPAIRS = ("compare", "run")
"""Commands that may make a damaged file anew: then they end well, with the numbers of before."""


def attack(study: Path, chosen: list[Damage], names: tuple[str, ...], tally: Tally) -> None:
    """Apply each damage to a copy of a study, and judge what every command makes of it."""
    with tempfile.TemporaryDirectory(prefix="damage-") as folder:
        work = Path(folder) / "study"
        policy = Path(folder) / "policy.yaml"
        policy.write_text(EASY)
        (Path(folder) / "spec.yaml").write_bytes((study / "study.yaml").read_bytes())
        before = {}
        for name in names:
            _restore(study, work)
            before[name] = commands(work, policy)[name]()
            assert before[name].code == 0, (name, before[name].text)
        for damage in chosen:
            tally.damages += 1
            for name in names:
                _restore(study, work)
                damage.apply(work / damage.file)
                tally.calls += 1
                problem = judge(name, damage, commands(work, policy)[name](), before[name])
                if problem:
                    tally.wrong.append(f"{damage} -> {name}: {problem}")


def _restore(study: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(study, work)


def judge(name: str, damage: Damage, now: Call, before: Call) -> str:
    """Say what is wrong with how a command took a damage; the empty text if nothing is."""
    if now.code == EXIT_CODE or "Traceback" in now.text:
        return f"a traceback: {now.text[-300:]}"
    if now.code == -1:
        return "it hangs"
    if now.code == 0 and now.numbers != before.numbers:
        return "other numbers"
    harmless = damage.name == "deleted" and damage.file == "manifest.json"
    if name in ("gate", "verify") and now.code == 0 and not harmless:
        return "it passes"
    if now.code not in (0, 1, 2):
        return f"exit {now.code}: {now.text[-200:]}"
    if strange := {sign for sign in now.text if not (sign.isprintable() or sign in "\n\t")}:
        return f"control characters {strange}"
    longest = max((len(line) for line in now.text.split("\n") if line.startswith("crushtest")), default=0)
    if longest > LONGEST_MESSAGE:
        return f"a message of {longest} characters"
    lines = [line for line in now.text.splitlines() if line.startswith("crushtest: ")]
    if now.code and name != "verify" and len(lines) != 1:
        return f"not one line: {now.text[-300:]}"
    if now.code and Path(damage.file).name not in now.text and "arms/" not in now.text:
        return f"the file is not named: {now.text[-300:]}"
    return ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("study", type=Path)
    parser.add_argument("--every", type=int, default=1, help="of the damages that are listed, every so many")
    parser.add_argument("--drawn", type=int, default=0, help="so many damages drawn at random in their place")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    listed = [*damages(given.study, given.seed), *whole_arms(given.study)][:: given.every]
    found = Tally()
    chosen = list(drawn(given.study, given.seed, given.drawn)) if given.drawn else listed
    attack(given.study, chosen, ("verify", "gate", "query", "report", "compare"), found)
    print(json.dumps({"damages": found.damages, "calls": found.calls, "wrong": len(found.wrong)}))
    print("\n".join(found.wrong[:60]))
