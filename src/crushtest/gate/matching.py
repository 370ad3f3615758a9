"""Names that a rule matches."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern; only `*` and `?` are special, since recipes may hold brackets."""
    return name == pattern or fnmatchcase(name, re.sub(r"\[", "[[]", pattern))
