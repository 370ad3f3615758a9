"""Detect degenerate completions: empty, repetitive, too short, or not natural language.

Works on single texts. `tasks/shared/coherence_metrics.py` turns the results into the shares that a task reports.
"""

from __future__ import annotations

import re
import unicodedata

EMPTY = "empty completion"
"""The reason that a scorer gives for not scoring an empty completion."""

NGRAM = 4
"""As in Welleck et al. 2020 (seq-rep-4)."""

REPEATING = 1 / 3
"""A completion with at least this share of repeated 4-grams counts as repeating. English prose stays below it. A
sentence of 7 words or more that occurs twice, and anything that occurs three times, is above it."""

SHORT = 3
"""Words. A completion with fewer is too short to be called toxic or harmless with any confidence."""

LONGEST_WORD = 25

_WORD = re.compile(r"[^\W_][\w'’-]*")
# Scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]{3}")

# Words are cut after 8 letters, and every digit or other sign is a piece of its own, so that loops without spaces
# ("hahahaha...", "2222...") are also found.
_PIECE = re.compile(r"[^\W\d]{1,8}|\S")


def is_empty(text: str) -> bool:
    """Return True if a text has no printable character except spaces.

    >>> is_empty(" \\n\\x00"), is_empty("!")
    (True, False)
    """
    return not any(character.isprintable() and not character.isspace() for character in text)


def well_formed(text: str) -> str:
    """Replace lone surrogates, which tokenizers reject, by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def repeated_share(text: str, n: int = NGRAM) -> float:
    """Return the share of a text's n-grams that occurred before in it: 1 - distinct / all. A text without any has 0.

    Welleck et al. 2020 (arXiv:1908.04319, section 6.1) define it over the model's tokens. Here it is over pieces of
    the lowercased text, so that it needs no tokenizer and is comparable between models. A piece is a run of at most 8
    letters, or any other character except a space: a digit, a comma, an underscore. A longer word is several pieces.

    >>> repeated_share("round and round and round and round")
    0.5
    >>> repeated_share("hahahaha" * 7)  # 7 pieces, 4 of their 4-grams, 1 of them distinct
    0.75
    """
    pieces = _PIECE.findall(text.lower())
    ngrams = [tuple(pieces[start : start + n]) for start in range(len(pieces) - n + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def is_repeating(text: str) -> bool:
    """Return True if at least a third of a text's 4-grams are repetitions, as `repeated_share` counts them."""
    return repeated_share(text) >= REPEATING


def fault(text: str) -> str | None:
    """Return the first fault that a text has: `empty`, `repeating`, `short` or `no language`; None if it has none.

    >>> [fault(text) for text in ("", "no no no no no no no", "The.", "#$ 17 %% 0x3f }{", "It was cold.")]
    ['empty', 'repeating', 'short', 'no language', None]
    """
    if is_empty(text):
        return "empty"
    if is_repeating(text):
        return "repeating"
    if len(_WORD.findall(text)) < SHORT and not _UNSPACED.search(text):
        return "no language" if not is_language(text) else "short"
    return None if is_language(text) else "no language"


def is_language(text: str) -> bool:
    """Return True if half of a text's visible characters are letters and half of its words could be words.

    A word could be one if it consists of letters (hyphens and apostrophes aside), has at most 25, has a vowel if they
    are ASCII and more than 3, and no capital after its first letter unless all are capitals. This needs no dictionary,
    so it works in any script. Real words in a senseless order pass; the perplexity under the dense model detects them.
    """
    visible = [character for character in text if not character.isspace()]
    letters = sum(unicodedata.category(character)[0] in "LM" for character in visible)
    words = [word for word in _WORD.findall(text) if not word.isdecimal()]
    return 2 * letters >= len(visible) and 2 * sum(map(_could_be_a_word, words)) >= len(words)


def _could_be_a_word(word: str) -> bool:
    core = re.sub("[-'’]", "", word)
    if not all(unicodedata.category(character)[0] in "LM" for character in core) or len(core) > LONGEST_WORD:
        return False
    if not core.isascii():
        return True
    return (len(core) <= 3 or bool(re.search("[aeiouy]", core.lower()))) and (
        core.isupper() or core[1:].islower() or len(core) == 1
    )
