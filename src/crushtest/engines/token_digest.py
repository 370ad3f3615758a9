"""A digest of the tokens that an answer was computed from, so that arms can be compared without keeping the tokens.

It holds ids, not the texts that they stand for. All arms of a study read the same texts, and two vocabularies that cut
a text into the same ids have the same tokens at these ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from crushtest.engines.packing import Line

SIZE_BYTES = 8


def digest_of_lines(lines: Iterable[Line]) -> str:
    """Return 16 hex digits that say which tokens lines have, and from where on they were predicted."""
    digest = blake2b(digest_size=SIZE_BYTES)
    for line in lines:
        _add(digest, (len(line.tokens), line.start))
        _add(digest, line.tokens)
    return digest.hexdigest()


def digest_of_scored(windows: Sequence[Line]) -> str:
    """Return 16 hex digits that say which tokens a text was predicted as, and after which first ones.

    How a long text was cut into windows does not count: the same tokens of it were predicted.
    """
    digest = blake2b(digest_size=SIZE_BYTES)
    for window in windows[:1]:
        _add(digest, (window.start,))
        _add(digest, window.tokens[: window.start])
    for window in windows:
        _add(digest, window.tokens[window.start :])
    return digest.hexdigest()


def _add(digest: blake2b, numbers: Sequence[int]) -> None:
    digest.update(np.asarray(numbers, dtype="<i4").tobytes())
