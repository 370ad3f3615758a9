"""The dense model's likeliest next tokens in files: arms are compared with them once that model is out of memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crushtest.engines.hf.against_dense import Columns, in_order
from crushtest.engines.hf.kl import Bounded, Likeliest, compare_likeliest, likeliest
from crushtest.engines.likelihood import Part, Predictions
from crushtest.engines.packing import Line
from crushtest.errors import StoreError, first_line
from crushtest.files.atomic import replacing
from crushtest.records import Passage

REMEDY = "remove the dense arm's answers to this task and its passages are asked again"


@dataclass(frozen=True)
class KeptTokens:
    """A file a passage, named by what was asked: the columns of `Likeliest`, a row for every predicted token.

    8 k + 4 bytes a token: 516 for k = 64, 0.15 GB for the test part of WikiText-2. While a passage is asked, that of
    its own is in memory. A file says of which token ids and how large a vocabulary it is, by a hash.
    """

    folder: Path
    k: int

    def path(self, request: Passage) -> Path:
        """The file of a passage."""
        return self.folder / f"{hashlib.sha256(repr(request).encode('utf-8', 'surrogatepass')).hexdigest()}.safetensors"

    def write(self, request: Passage, lines: Sequence[Line], vocabulary: int, columns: Columns) -> None:
        """Keep the columns of a passage, whole or not at all; the same columns give the same bytes."""
        from safetensors.numpy import save_file

        with replacing(self.path(request)) as temporary:
            save_file(dict(zip(Likeliest._fields, columns, strict=True)), temporary, {"of": digest(lines, vocabulary)})

    def is_of(self, request: Passage, lines: Sequence[Line], vocabulary: int) -> bool:
        """Whether a passage's file is of these tokens and a vocabulary of this size.

        StoreError where there is none, it is damaged, or of another k.
        """
        path = self.path(request)
        with opened(path) as file:
            if (file.metadata() or {}).get("of") != digest(lines, vocabulary):
                return False
            found, wanted = file.get_slice("ids").get_shape()[1], min(self.k, vocabulary)
        if found != wanted:
            raise StoreError(f"{path} holds the {found} likeliest of every token, {wanted} are needed; {REMEDY}")
        return True

    def read(self, request: Passage, start: int, stop: int) -> Columns:
        """Rows start..stop-1 of a passage's columns."""
        with opened(self.path(request)) as file:
            return [file.get_slice(name)[start:stop] for name in Likeliest._fields]


def digest(lines: Sequence[Line], vocabulary: int) -> str:
    """sha256 over a passage's token ids, from where they are predicted, and the size of the vocabulary."""
    of = hashlib.sha256(str(vocabulary).encode())
    for line in lines:
        of.update(f"/{line.start}/".encode() + np.asarray(line.tokens, dtype="<i4").tobytes())
    return of.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file of tensors. Raises StoreError, with what to do, where it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            yield file
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: the dense model's likeliest tokens of a passage; {REMEDY}") from None
    except SafetensorError as error:
        raise StoreError(f"{path} cannot be read ({first_line(error)}); {REMEDY}") from None


@dataclass(frozen=True)
class KeepLikeliest:
    """Keeps the likeliest tokens of the dense model, which does not differ from itself."""

    kept: KeptTokens
    requests: Sequence[Passage]
    groups: Sequence[Sequence[Line]]
    vocabulary: int

    def look(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], Likeliest]:
        """The likeliest tokens of every row."""
        return lambda own: likeliest(own.logits, self.kept.k)

    def told(self, passage: int, columns: Columns) -> dict[str, Any]:
        """No divergence; what is kept is on disk before the passage counts as answered."""
        self.kept.write(self.requests[passage], self.groups[passage], self.vocabulary, columns)
        return {"kl": (0.0,) * len(columns[0]), "agree": len(columns[0])}


@dataclass(frozen=True)
class BesideKept:
    """Compares every distribution with what is kept of the dense model's."""

    kept: KeptTokens
    requests: Sequence[Passage]
    groups: Sequence[Sequence[Line]]

    @cached_property
    def places(self) -> list[tuple[Passage, int]]:
        """Of every line: its passage, and what makes the place of a token that predicts a row of the passage's file."""
        places = []
        for request, group in zip(self.requests, self.groups, strict=True):
            row = 0
            for line in group:
                places.append((request, row - (line.start - 1)))
                row += len(line.tokens) - line.start
        return places

    def look(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], Bounded]:
        """Bounds of KL, and agreement, of every row."""
        import torch

        part = plan[index]
        edges, pieces = [], []
        for line in np.unique(part.lines).tolist():
            request, shift = self.places[line]
            edges.append(np.flatnonzero(part.lines == line))
            rows = part.positions[edges[-1]] + shift
            first = int(rows.min())
            pieces.append([column[rows - first] for column in self.kept.read(request, first, int(rows.max()) + 1)])
        dense = in_order(edges, pieces)

        def at(own: Predictions) -> Bounded:
            # Lines that share a token ask for one row of logits: any of their edges will do.
            asking = own.edges[np.unique(own.rows, return_index=True)[1]]
            return compare_likeliest(
                Likeliest(*(torch.from_numpy(column[asking]).to(own.logits.device) for column in dense)), own.logits
            )

        return at

    def told(self, passage: int, columns: Columns) -> dict[str, Any]:
        """The lower bound of each token, the upper one of all together, and how many agree."""
        at_least, at_most, agree = columns
        return {
            "kl": tuple(at_least.tolist()),
            "agree": int(agree.sum()),
            "kl_at_most": float(at_most.sum(dtype=np.float64)),
        }
