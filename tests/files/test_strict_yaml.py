"""Files of a user in YAML: no key twice, no bomb, every mistake one line that names its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crushtest.errors import UsageError
from crushtest.files.strict_yaml import MOST_NODES, parse_yaml, read_yaml
from crushtest.gate.policy import parse_policy, read_policy
from crushtest.study.spec import build_spec, read_spec
from crushtest.study.suites import resolve

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
REFUSED = {
    "key twice": "model: demo\nseed: 1\nmodel: other\n",
    "key twice beside a merge": "a: &a {x: 1}\nb: {<<: *a, x: 1, x: 1}\n",
    "key twice in two spellings": "1: a\n0x1: b\n",
    "key twice inside": "arms: [{recipe: x, recipe: y}]\n",
    "month 13": "model: 2020-13-45\n",
    "bad timestamp": "model: !!timestamp x\n",
    "long number": f"seed: {'9' * 5_000}\n",
    "deep": "{a: " * 500,
    "deeper": "[" * 100_000,
    "aliases": BOMB,
    "alias of itself": "a: &a [*a]\n",
    "unknown alias": "a: *b\n",
    "many values": f"a: [{'x,' * (MOST_NODES + 1)}]\n",
    "long": "a: " + "x" * 1_000_001,
    "half a character": 'model: "\\ud800"\n',
    "NUL": 'model: "a\\0b"\n',
    "a tag of Python": "a: !!python/object/apply:os.system [ls]\n",
    "control character": "model: \x07\n",
    "a list as key": "? [a]\n: b\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line_and_soon(text: str, tmp_path: Path) -> None:
    began = time.process_time()
    path = tmp_path / "f.yaml"
    path.write_text(text)
    for read in (read_spec, lambda path: resolve(str(path)), lambda path: read_policy(str(path))):
        with pytest.raises(UsageError) as caught:
            read(path)
        assert "f.yaml" in str(caught.value)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000
    assert time.process_time() - began < 10


def test_a_key_given_twice_is_named_with_both_lines() -> None:
    policy = "rules:\n  - metric: accuracy\n    margin: 0.02\n    margin: 100\n"
    with pytest.raises(UsageError, match=r"line 4, .*'margin' is given twice, first in line 3"):
        parse_policy(policy, where="policy")


@pytest.mark.parametrize(
    "rules", ["-.inf", ".nan", "5", "text", "{}", "{metric: accuracy}", "null", "[5]", "[[]]", "[null]", "[.inf]"]
)
def test_rules_that_are_no_list_of_rules_are_one_line(rules: str) -> None:
    with pytest.raises(UsageError):
        parse_policy(f"rules: {rules}\n", where="policy")


def test_an_honest_file_reads_as_the_safe_loader_does() -> None:
    text = "a: &a {b: 1, c: [x, 2.5, null, true, 2020-01-02]}\nd: *a\ne: {<<: *a, b: 2}\n"
    assert parse_yaml(text, "x") == yaml.safe_load(text)


@pytest.mark.parametrize("text", [
    "base: &b {x: 1}\nouter: {a: &a {<<: *b, x: 2}}\nc: {<<: *a, y: 3}\n",
    "a: &a {x: 1}\nb: {<<: *a, <<: {y: 2}, x: 3}\n",
    "=: 1\n",
])  # fmt: skip
def test_a_key_beside_one_that_is_merged_is_not_given_twice(text: str) -> None:
    assert parse_yaml(text, "x") == yaml.safe_load(text)


KEYS = st.dictionaries(st.sampled_from("xy"), st.integers(0, 9))


@given(st.lists(st.tuples(st.sets(st.integers(0, 3)), KEYS), min_size=3, max_size=5))
def test_mappings_that_merge_earlier_ones_read_as_the_safe_loader_does(
    mappings: list[tuple[set[int], dict[str, int]]],
) -> None:
    text = ""
    for number, (merged, keys) in enumerate(mappings):
        earlier = ", ".join(f"*m{other}" for other in merged if other < number)
        pairs = [f"<<: [{earlier}]"] * bool(earlier) + [f"{key}: {value}" for key, value in keys.items()]
        mapping = f"&m{number} {{{', '.join(pairs)}}}"
        text += f"- {{inside: {mapping}}}\n" if number % 2 else f"- {mapping}\n"  # what is inside is made later
    assert parse_yaml(text, "x") == yaml.safe_load(text)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3), max_leaves=12,
))  # fmt: skip
def test_whatever_was_written_reads_back(value: object) -> None:
    assert parse_yaml(yaml.safe_dump(value, allow_unicode=True), "x") == value


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match="is not YAML"):
        read_yaml(tmp_path / "f.yaml", "file")
    with pytest.raises(UsageError, match="cannot be read"):
        read_yaml(tmp_path, "file")


def test_a_text_that_no_file_holds_is_refused_from_flags_as_well() -> None:
    with pytest.raises(UsageError, match="half a character"):
        build_spec({"model": "demo", "arms": [{"recipe": "rtn:bits=4", "name": "\ud800"}]}, where="flags")
