"""Read YAML that a user wrote: no key twice, nothing without bounds, and every mistake one line with its place."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

from crushtest.errors import UsageError
from crushtest.printing import quoted, unwritable

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

LONGEST = 1_000_000
"""Characters of a file."""
MOST_NODES = 20_000
"""Values of a file, those counted again that an alias repeats."""
DEEPEST = 50

_MERGE, _VALUE = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"  # the keys `<<` and `=`


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses a key given twice and says where a value cannot be made."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # whatever a constructor raises for a date of month 13, a number of 5,000 digits
            raise _mistake(
                f"{quoted(getattr(node, 'value', ''), 60)} is no {node.tag.rpartition(':')[2]} ({error})", node
            ) from None

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Return a mapping as it was written: once values are made, its keys stand beside those that it merges."""
        node = super().compose_mapping_node(anchor)
        first: dict[Hashable, yaml.Node] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _MERGE:
                continue  # no other key is hashable, which its constructor says
            key = key_node.value if key_node.tag == _VALUE else self.construct_object(key_node, deep=True)
            if key in first:
                earlier = first[key].start_mark.line + 1
                raise _mistake(f"key {quoted(key, 60)} is given twice, first in line {earlier}", key_node)
            first[key] = key_node
        return node


def _mistake(what: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


def read_yaml(source: Path | Traversable, where: str) -> Any:
    """Return the value of a file. Raises UsageError, in one line that begins with `where`."""
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not YAML: {error}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a text. Raises UsageError as `read_yaml` does.

    Refused are keys given twice, texts that no file can hold, and what is longer, deeper or, with its aliases followed,
    larger than any study, suite or policy.
    """
    if len(text) > LONGEST:
        raise UsageError(f"{where} is too long: at most {LONGEST:,} characters (got {len(text):,})")
    try:
        _measure(text)
        return yaml.load(text, Loader=_Loader)  # a subclass of the safe loader
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is not YAML: {_in_words(error)}") from None


def _measure(text: str) -> None:
    """Raise MarkedYAMLError for what would take long to build, before anything is built."""
    sizes: dict[str, int] = {}
    open_sizes, open_anchors = [0], [""]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        size, anchor = 0, ""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _mistake(
                    f"alias {quoted(event.anchor, 60)} stands for nothing, or for what it is a part of", event
                )
            size = sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            size, anchor = 1, event.anchor or ""
            if unwritable(event.value):
                raise _mistake(f"{quoted(event.value, 60)} holds a NUL or half a character", event)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_sizes.append(1)
            open_anchors.append(event.anchor or "")
            if len(open_sizes) > DEEPEST:
                raise _mistake(f"nested more than {DEEPEST} deep", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = open_sizes.pop(), open_anchors.pop()
        if anchor:
            sizes[anchor] = size
        open_sizes[-1] += size
        if open_sizes[-1] > MOST_NODES:
            raise _mistake(f"more than {MOST_NODES:,} values, with aliases followed", event)


def _in_words(error: yaml.YAMLError) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem and mark:
        context = getattr(error, "context", None)
        return f"line {mark.line + 1}, column {mark.column + 1}: {f'{context}, ' if context else ''}{problem}"
    return str(error)
