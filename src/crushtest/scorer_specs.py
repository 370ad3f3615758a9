"""Scorers as they are named in a study: `name`, `name:option=value,...`, or `name:value` for the first option."""

from __future__ import annotations

from crushtest.registry import SCORERS


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """A scorer's name and its options as given.

    A first piece that is not `option=value` is the value of the scorer's first option, so that a classifier can be
    named as it is: `hf:ID#LABEL`, `detoxify:unbiased,label=threat`. Raises UnknownName for a scorer that does not
    exist, UsageError for any other piece without `=`.
    """
    first = next(iter(SCORERS.get(spec.partition(":")[0]).options), None)
    return SCORERS.split(spec, unnamed=first)
