"""The calibration corpora of the papers: C4's first shard and WikiText-2, from a mirror, or from the hub."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from crushtest.errors import DataError

MIRROR = "CRUSHTEST_DATA"


class Text(NamedTuple):
    """Calibration text: documents that windows must not cross, or one stream that is cut anywhere."""

    documents: Sequence[str]
    is_stream: bool


@dataclass(frozen=True)
class Corpus:
    """Where a corpus is: a file of a hub data set, and the names under which a mirror may hold it or a part of it."""

    repository: str
    file: str
    mirrored: tuple[str, ...]
    read: Callable[[Path], Text]


def _documents(path: Path) -> Text:
    return Text(list(json_lines(path)), is_stream=False)


def _stream(path: Path) -> Text:
    if path.suffix == ".parquet":
        import polars as pl

        return Text(["".join(pl.read_parquet(path, columns=["text"])["text"])], is_stream=True)
    return Text([path.read_text(encoding="utf-8")], is_stream=True)


CORPORA = {
    "c4": Corpus(
        "allenai/c4",
        "en/c4-train.00000-of-01024.json.gz",
        ("c4/en/c4-train.00000-of-01024.json.gz", "c4_sample/c4-sample.00000-of-00001.json.gz"),
        _documents,
    ),
    "wikitext2": Corpus(
        "Salesforce/wikitext",
        "wikitext-2-raw-v1/train-00000-of-00001.parquet",
        ("wikitext-2-raw/wiki.train.raw", "wikitext-2-raw/wiki.valid.raw"),
        _stream,
    ),
}


def read_corpus(name: str) -> Text:
    """The text of `c4` or `wikitext2`: from the mirror, where there is one that has it, else from the hub.

    A mirror may hold a sample of C4, or WikiText-2's validation part, in place of the training text: the hash of the
    tokens, which the manifest keeps, tells them apart. DataError names the file, its address and the mirror variable.
    """
    corpus = CORPORA[name]
    mirror = os.environ.get(MIRROR)
    if mirror:
        for file in corpus.mirrored:
            path = Path(mirror).expanduser() / file
            if path.is_file():
                return corpus.read(path)
    return corpus.read(_from_hub(name, corpus, mirror))


def _from_hub(name: str, corpus: Corpus, mirror: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(corpus.repository, corpus.file, repo_type="dataset"))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        _unreachable(name, corpus, mirror, error)


def _unreachable(name: str, corpus: Corpus, mirror: str | None, error: Exception) -> NoReturn:
    address = f"https://huggingface.co/datasets/{corpus.repository}/resolve/main/{corpus.file}"
    held = f" ({mirror!r} does not)" if mirror else ""
    raise DataError(
        f"calibration {name!r}: {corpus.file} could not be fetched from {address} ({type(error).__name__}); "
        f"set {MIRROR} to a folder that holds {corpus.mirrored[0]}{held}, or calibrate on pydoc"
    ) from None


def json_lines(path: Path) -> Iterator[str]:
    """The `text` of every line of a JSONL file (gzipped or not); DataError names the line that has none."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"calibration {str(path)!r}, line {number}: not JSON: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise DataError(f"calibration {str(path)!r}, line {number}: needs an object with a string `text`")
        yield record["text"]
