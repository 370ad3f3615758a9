"""English prose that every Python carries: the topics of the language reference, as `help("for")` shows them.

It needs no network and no licence but Python's own. The topics fall into two parts that share neither a topic nor a
paragraph. Calibration reads one part, and the task `probe_text` is scored on the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache

_MARKUP = re.compile(r"\*{1,2}(?=\w)([^*\"]+?)(?<=\w)\*{1,2}|`+([^`]+)`+|\s\[\d+\](?=\W|$)")
_LIST_MARK = re.compile(r"^(?:[*•-]|\d+\.|\[\d+\])\s+")
_NOT_PROSE = re.compile(
    r"::=|>>>|\.\.\.\s|\||={3,}|-{4,}|\*{4,}|See also|New in version|Changed in version|^Source code"
)
_PLAIN_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_LEAST_WORDS = 12
_LEAST_LETTERS = 0.88  # share of the characters that are not spaces; program text has fewer letters


def calibration_prose() -> list[str]:
    """Return the part that calibration reads (two thirds): one text per topic, a blank line between paragraphs."""
    return list(_parts()[0])


def evaluation_prose() -> list[str]:
    """Return the part held out to measure perplexity: one text per topic, a blank line between paragraphs."""
    return list(_parts()[1])


@cache
def _parts() -> tuple[tuple[str, ...], tuple[str, ...]]:
    from pydoc_data.topics import topics

    return split_prose(topics)


def split_prose(topics: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the (calibration, evaluation) texts of these topics.

    A topic's name decides its side, so a topic stays on its side from one Python to the next. The reference repeats
    itself (`compound` holds most of `with`), so only the first occurrence of a paragraph is kept. Held-out topics come
    first.
    """
    seen: set[str] = set()
    held_out = tuple(_texts({name: text for name, text in topics.items() if _is_held_out(name)}, seen))
    return tuple(_texts({name: text for name, text in topics.items() if not _is_held_out(name)}, seen)), held_out


def _is_held_out(topic: str) -> bool:
    return hashlib.sha256(topic.encode()).digest()[0] % 3 == 0


def _texts(topics: Mapping[str, str], seen: set[str]) -> list[str]:
    texts = []
    for name in sorted(topics):
        paragraphs = [paragraph for paragraph in _prose(topics[name]) if paragraph not in seen]
        paragraphs = list(dict.fromkeys(paragraphs))
        seen.update(paragraphs)
        if paragraphs:
            texts.append("\n\n".join(paragraphs))
    return texts


def _prose(text: str) -> Iterator[str]:
    """Yield the paragraphs that are English sentences: no headings, tables, grammar, program text or version notes."""
    for block in re.split(r"\n\s*\n", text):
        if not _NOT_PROSE.search(block):
            unmarked = _MARKUP.sub(lambda match: match[1] or match[2] or "", " ".join(block.split()))
            paragraph = _LIST_MARK.sub("", unmarked).translate(_PLAIN_QUOTES)
            if _reads_as_prose(paragraph):
                yield paragraph


def _reads_as_prose(paragraph: str) -> bool:
    signs = [character for character in paragraph if not character.isspace()]
    letters = sum(character.isalpha() or character in ".,;:'\"()" for character in signs)
    return (
        len(paragraph.split()) >= _LEAST_WORDS
        and paragraph[0].isupper()
        and paragraph[-1] in ".!?"
        and letters >= _LEAST_LETTERS * len(signs)
        and paragraph.count('"') <= len(paragraph.split()) / 3
    )
