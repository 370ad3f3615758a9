"""Of small random changes to the statistics, the metrics and the gate, the share that their tests notice.

    OMP_NUM_THREADS=1 python benchmarks/mutation.py --count 150 --seed 0

Every change (a comparison, an operator, a constant, a negation) is made alone in a temporary copy of `src`, and the
tests of its part run against that copy until one fails. It prints the changes that none noticed, and the share noticed.
Tests that take long are left out (`SLOW`). A change takes a few seconds.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PARTS = {
    "src/crushtest/stats/*.py": "tests/stats/test_*.py",
    "src/crushtest/metrics.py": "tests/stats/test_*.py",
    "src/crushtest/gate/*.py": "tests/gate/test_*.py",
}
SLOW = ("test_by_hand", "test_attribution", "test_coverage", "test_properties", "test_gate", "test_gate_quick")
"""Tests that take too long for every change; what is noticed without them is the less."""
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class Change(NamedTuple):
    """One change: the number of the expression in its file, which of its mutants, and both as they read."""

    path: Path
    line: int
    place: int
    number: int
    before: str
    after: str

    def source(self) -> str:
        """Return the file with the change."""
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        node, put = list(_code(tree))[self.place]
        put(_mutants(node)[self.number])
        return ast.unparse(tree)


def changes(path: Path) -> Iterator[Change]:
    """Yield every change of a file."""
    for place, (node, _) in enumerate(_code(ast.parse(path.read_text(encoding="utf-8")))):
        for number, mutant in enumerate(_mutants(node)):
            yield Change(path, node.lineno, place, number, ast.unparse(node), ast.unparse(mutant))


def _code(tree: ast.AST) -> Iterator[tuple[ast.expr, Callable[[ast.expr], None]]]:
    """Yield the expressions that run, each with a function that puts another in its place; annotations do not run."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if name in ("annotation", "returns", "decorator_list") or _is_type(parent):
                continue
            if isinstance(value, ast.expr):
                yield value, lambda new, parent=parent, name=name: setattr(parent, name, new)
            elif isinstance(value, list):
                for at, child in enumerate(value):
                    if isinstance(child, ast.expr):
                        yield child, lambda new, value=value, at=at: value.__setitem__(at, new)


def _is_type(node: ast.AST) -> bool:
    """Whether it lies in a type: `Literal[...]`, `dict[str, X | None]`."""
    return isinstance(node, ast.Subscript) and ast.unparse(node.value).split(".")[-1] in ("Literal", "Callable", "dict")


def _mutants(node: ast.expr) -> list[ast.expr]:
    """Return what a node can be changed to."""
    made: list[ast.expr] = []
    match node:
        case ast.Compare(left, ops, comparators) if type(ops[0]) in SWAPS:
            made = [ast.Compare(left, [SWAPS[type(ops[0])](), *ops[1:]], comparators)]
        case ast.BinOp(left, op, right) if type(op) in SWAPS and not _is_none(right):
            made = [ast.BinOp(left, SWAPS[type(op)](), right)]
        case ast.BoolOp(op, values):
            made = [ast.BoolOp(SWAPS[type(op)](), values)]
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            made = [operand]
        case ast.IfExp(test, body, orelse):
            made = [ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)]
        case ast.Constant(bool(value)):
            made = [ast.Constant(not value)]
        case ast.Constant(int(value)):
            made = [ast.Constant(value + 1)]
        case ast.Constant(float(value)):
            made = [ast.Constant(1.3 * value if value else 1.0)]
    return made


def _is_none(node: ast.expr) -> bool:
    """Whether it is the end of `X | None`, which is a type."""
    return isinstance(node, ast.Constant) and node.value is None


def tests_of(path: Path) -> list[str]:
    """Return the files of tests of a module's part, its own first."""
    (pattern,) = [tests for part, tests in PARTS.items() if path in ROOT.glob(part)]
    files = sorted(file for file in ROOT.glob(pattern) if file.stem not in SLOW)
    files.sort(key=lambda file: file.stem != f"test_{path.stem}")
    return [str(file.relative_to(ROOT)) for file in files]


def _run(source: Path, tests: list[str]) -> None:
    """In a process of its own: run the tests on the packages under `source`."""
    import pytest

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    sys.path.insert(0, str(source))
    os.environ["PYTHONPATH"] = str(source)
    os._exit(int(pytest.main(["-x", "-n", "0", "-p", "no:cacheprovider", *tests])))


def is_noticed(source: Path, tests: list[str], *, limit_s: float) -> bool:
    """Return whether a test fails, or they take longer than the limit."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(source, tests))
    process.start()
    process.join(limit_s)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode != 0


def main() -> None:
    """Change, test, and print what survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="files whose name holds this")
    parser.add_argument("--limit-s", type=float, default=240.0)
    options = parser.parse_args()

    import pytest  # noqa: F401  imported once, for all processes
    import scipy.stats  # noqa: F401

    os.chdir(ROOT)
    files = sorted({path for part in PARTS for path in ROOT.glob(part) if options.only in path.name})
    every = [change for path in files for change in changes(path)]
    drawn = random.Random(options.seed).sample(every, min(options.count, len(every)))
    print(f"{len(drawn)} of {len(every)} changes", flush=True)
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "src"
        shutil.copytree(ROOT / "src", copied, ignore=shutil.ignore_patterns("__pycache__"))
        for tests in {tuple(sorted(tests_of(change.path))) for change in drawn}:
            if is_noticed(copied, [*tests], limit_s=options.limit_s):
                sys.exit(f"these fail without any change: {' '.join(tests)}")
        for number, change in enumerate(drawn, start=1):
            target = copied / change.path.relative_to(ROOT / "src")
            unchanged = target.read_text(encoding="utf-8")
            target.write_text(change.source(), encoding="utf-8")
            noticed = is_noticed(copied, tests_of(change.path), limit_s=options.limit_s)
            target.write_text(unchanged, encoding="utf-8")
            survived += not noticed
            if number % 10 == 0:
                print(f"{number} tried, {survived} survived", file=sys.stderr, flush=True)
            if not noticed:
                where = f"{change.path.relative_to(ROOT)}:{change.line}"
                print(f"{number} survived  {where}  {change.before}  ->  {change.after}", flush=True)
    print(f"noticed {len(drawn) - survived} of {len(drawn)}: {1 - survived / len(drawn):.1%}")


if __name__ == "__main__":
    main()
