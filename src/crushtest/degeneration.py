"""Whether a completion is still a text: empty, going round in circles, too short to say anything, or no language.

Of one text; the shares that a task reports are in tasks/building/coherence_metrics.py.
"""

from __future__ import annotations

import re
import unicodedata

EMPTY = "empty completion"
"""The reason a scorer gives for not scoring one."""

NGRAM = 4
"""As in Welleck et al. 2020 (seq-rep-4)."""

REPEATING = 1 / 3
"""From this share of repeated 4-grams on a completion counts as repeating. English prose stays below it; a sentence
of 7 words or more said twice, and anything said three times, is above it."""

SHORT = 3
"""Words. With fewer a completion is too short to be called toxic or harmless with any confidence."""

LONGEST_WORD = 25

_WORD = re.compile(r"[^\W_][\w'’-]*")
# Scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]{3}")

# Words are cut after 8 letters and every digit is a piece of its own, as every other sign is, so that loops without
# spaces ("hahahaha...", "2222...") are found too.
_PIECE = re.compile(r"[^\W\d]{1,8}|\S")


def is_empty(text: str) -> bool:
    """Nothing to see: no printable character but spaces.

    >>> is_empty(" \\n\\x00"), is_empty("!")
    (True, False)
    """
    return not any(character.isprintable() and not character.isspace() for character in text)


def well_formed(text: str) -> str:
    """The text with half characters (lone surrogates), which no tokenizer takes, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def repeated_share(text: str, n: int = NGRAM) -> float:
    """Share of a text's n-grams that have occurred in it before: 1 - distinct n-grams / n-grams; 0 where it has none.

    Welleck et al. 2020 (arXiv:1908.04319, section 6.1) define it over the model's tokens. Here it is over pieces of
    the text in lower case, so that it needs no tokenizer and compares between models. A piece is a run of at most 8
    letters, or any other sign that is no space: a digit, a comma, an underscore. A longer word is several pieces.

    >>> repeated_share("round and round and round and round")
    0.5
    >>> repeated_share("hahahaha" * 7)  # 7 pieces, 4 of their 4-grams, 1 of them distinct
    0.75
    """
    pieces = _PIECE.findall(text.lower())
    ngrams = [tuple(pieces[start : start + n]) for start in range(len(pieces) - n + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def is_repeating(text: str) -> bool:
    """Whether at least a third of a text's 4-grams are repetitions (see `repeated_share` for what is counted)."""
    return repeated_share(text) >= REPEATING


def fault(text: str) -> str | None:
    """What is wrong with a text, the first that holds: `empty`, `repeating`, `short`, `no language`; else None.

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
    """Whether a text looks written: half of its visible characters are letters, and half of its words could be words.

    A word could be one if it is of letters alone (hyphens and apostrophes aside), not longer than 25, with a vowel if
    it is of Latin letters and longer than 3, and without capitals after its first letter unless all are. This asks for
    no dictionary, so it holds in any script, and real words in a senseless order pass: the perplexity under the dense
    model is there for them.
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
