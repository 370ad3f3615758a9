"""Keep the dense model's most probable next tokens in files, so that arms compare with them without that model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crushtest.engines.hf.against_dense import Columns, divergence_fields, in_order
from crushtest.engines.hf.kl import Compared, Likeliest, compare_likeliest, likeliest
from crushtest.engines.likelihood import Part, Predictions
from crushtest.engines.packing import Line
from crushtest.errors import StoreError, first_error_line
from crushtest.files.atomic import replacing
from crushtest.records import Passage

REMEDY = "remove the dense arm's answers to this task and run again; its passages are then asked anew"


@dataclass(frozen=True)
class KeptTokens:
    """One file per passage, named by a hash of the request: the columns of `Likeliest`, a row per predicted token.

    8 k + 4 bytes per token: 516 for k = 64, 0.15 GB for the test part of WikiText-2. Rows are read as they are needed.
    A file's metadata holds a hash of the token ids and the size of the vocabulary it was made from.
    """

    folder: Path
    k: int

    def path(self, request: Passage) -> Path:
        """Return the path of a passage's file."""
        return self.folder / f"{hashlib.sha256(repr(request).encode('utf-8', 'surrogatepass')).hexdigest()}.safetensors"

    def write(self, request: Passage, lines: Sequence[Line], vocabulary: int, columns: Columns) -> None:
        """Write a passage's columns, whole or not at all; the same columns give the same bytes."""
        from safetensors.numpy import save_file

        with replacing(self.path(request)) as temporary:
            save_file(dict(zip(Likeliest._fields, columns, strict=True)), temporary, {"of": digest(lines, vocabulary)})

    def is_of(self, request: Passage, lines: Sequence[Line], vocabulary: int) -> bool:
        """Return True if a passage's file was made from these tokens and a vocabulary of this size.

        Raises StoreError if the file is missing, damaged or holds another k.
        """
        path = self.path(request)
        with opened(path) as file:
            if (file.metadata() or {}).get("of") != digest(lines, vocabulary):
                return False
            width, needed = file.get_slice("ids").get_shape()[1], min(self.k, vocabulary)
        if width != needed:
            raise StoreError(f"{path} holds {width} candidates per token, but {needed} are needed; {REMEDY}")
        return True

    def read(self, request: Passage, start: int, stop: int) -> Columns:
        """Return rows start..stop-1 of a passage's columns."""
        with opened(self.path(request)) as file:
            return [file.get_slice(name)[start:stop] for name in Likeliest._fields]


def digest(lines: Sequence[Line], vocabulary: int) -> str:
    """Return the sha256 of a passage's token ids, the places they are predicted from, and the vocabulary's size."""
    of = hashlib.sha256(str(vocabulary).encode())
    for line in lines:
        of.update(f"/{line.start}/".encode() + np.asarray(line.tokens, dtype="<i4").tobytes())
    return of.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file of tensors. Raises StoreError, with a remedy, if it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            yield file
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: the dense model's most probable tokens for a passage; {REMEDY}") from None
    except SafetensorError as error:
        raise StoreError(f"{path} cannot be read ({first_error_line(error)}); {REMEDY}") from None


@dataclass(frozen=True)
class KeepLikeliest:
    """Write what arms need of the dense model, which does not differ from itself."""

    kept: KeptTokens
    requests: Sequence[Passage]
    groups: Sequence[Sequence[Line]]
    vocabulary: int

    def observe(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], Likeliest]:
        """Return the most probable tokens of every row."""
        return lambda predictions: likeliest(predictions.logits, self.kept.k)

    def to_fields(self, passage: int, columns: Columns) -> dict[str, Any]:
        """Return a divergence of 0. The passage's file is on disk before the passage counts as answered."""
        self.kept.write(self.requests[passage], self.groups[passage], self.vocabulary, columns)
        return {"kl": (0.0,) * len(columns[0]), "agree": len(columns[0])}


@dataclass(frozen=True)
class AgainstKept:
    """Compare every distribution with what is kept of the dense model's."""

    kept: KeptTokens
    requests: Sequence[Passage]
    groups: Sequence[Sequence[Line]]

    @cached_property
    def places(self) -> list[tuple[Passage, int]]:
        """For each line: its passage, and the offset from the position of a predicting token to its row in the file."""
        places = []
        for request, group in zip(self.requests, self.groups, strict=True):
            row = 0
            for line in group:
                places.append((request, row - (line.start - 1)))
                row += len(line.tokens) - line.start
        return places

    def observe(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], Compared]:
        """Return a lower bound of KL, and agreement, of every row."""
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

        def compare_rows(predictions: Predictions) -> Compared:
            # Lines that share a token share its row of logits, so any of their edges will do.
            edge_of_row = predictions.edges[np.unique(predictions.rows, return_index=True)[1]]
            device = predictions.logits.device
            rows = Likeliest(*(torch.from_numpy(column[edge_of_row]).to(device) for column in dense))
            return compare_likeliest(rows, predictions.logits)

        return compare_rows

    def to_fields(self, passage: int, columns: Columns) -> dict[str, Any]:
        """Return the lower bound for each token, and how many agree."""
        return divergence_fields(columns)
