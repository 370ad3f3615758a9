"""Files that a mirror for development may hold in place of public ones: the same shape, another text.

BBQ's are made by the authors' generator with another seed, WikiText-2's training text is its validation part, and those
of HellaSwag and C4 are samples. Numbers measured on them are not those of the data sets.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from crushtest.data import catalogue
from crushtest.data.catalogue import DataSet

SUBSTITUTES = {
    ("bbq", "Race_ethnicity.jsonl"): (
        "bbq/regenerated_seed42/Race_ethnicity.jsonl.gz",
        "8337e42d64a53959bf988252acd6e905bb865265d3920659f583e43babb0d04d",
    ),
    ("bbq", "Race_x_SES.jsonl"): (
        "bbq/regenerated_seed42/Race_x_SES.jsonl.gz",
        "829bdc911bc20fb86f6667b10834b3fc1a728e059dcd87d8e3d7e6f1b048639f",
    ),
    ("bbq", "Race_x_gender.jsonl"): (
        "bbq/regenerated_seed42/Race_x_gender.jsonl.gz",
        "9f0bb857c97b27acbf8aa4ecb86ba9ef6d32d49421bd7817dbe8085c16d95924",
    ),
    ("bbq", "SES.jsonl"): (
        "bbq/regenerated_seed42/SES.jsonl.gz",
        "8b2998ab1a50e631ffca12197b88ea37a51d85e2b56220f1c8e1561d4aaf1970",
    ),
    ("hellaswag", "hellaswag_val.jsonl"): (
        "hellaswag/hellaswag_val_1000_olmo_docs.jsonl",
        "2400e0e5f9fbe593423d240e0d23e74e1674c49fbd866fa3dae6a534354132a5",
    ),
    ("wikitext-2-raw", "wiki.train.raw"): (
        "wikitext-2-raw/wiki.valid.raw",
        "4cd0f6876d07a413aa911261ff6d363c72d757d47f0fdd6015702014c89cb9c7",
    ),
    ("c4_train", "en/c4-train.00000-of-01024.json.gz"): (
        "c4_sample/c4-sample.00000-of-00001.json.gz",
        "75cdeb8bacc1fd115eaf338290fc7c6ac60e48c9f88d12250511666a201eee1c",
    ),
}
"""(data set, file) -> the substitute's path in the mirror, and its sha256."""


def substituted(data_sets: dict[str, DataSet]) -> dict[str, DataSet]:
    """Return the data sets with each file that the mirror lacks replaced by its substitute, if that is there."""
    mirror = Path(os.environ.get("CRUSHTEST_DATA", "/nowhere"))
    changed = dict(data_sets)
    for (name, file), (path, sha256) in SUBSTITUTES.items():
        official = changed[name].files[file]
        if (mirror / path).is_file() and not any((mirror / f"{official.path}{end}").is_file() for end in ("", ".gz")):
            source = replace(official, path=path, checksum=f"sha256:{sha256}")
            changed[name] = replace(changed[name], files={**changed[name].files, file: source})
    return changed


def read_substitutes() -> None:
    """Read substitutes from now on in this process; for benchmarks."""
    data_sets = substituted(catalogue.data_sets())
    catalogue.data_sets = lambda: data_sets
