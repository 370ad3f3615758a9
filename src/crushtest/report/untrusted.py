"""Make text from outside (prompts, completions, names) visible and short, and embed it so that it stays text.

The template engine escapes HTML (autoescape); this module does what escaping does not.
"""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST_NAME = 120
LONGEST_TEXT = 1500

# Controls except tab and newline; line separators; marks, embeddings, overrides and isolates of bidirectional text;
# halves of characters, which no file can hold.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
UNSAFE_IN_SCRIPT: dict[str | int, str | int | None] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def visible(text: str, limit: int = LONGEST_TEXT) -> str:
    """Write out hidden characters (`[U+202E]`), and replace what lies beyond `limit` characters by their number."""
    shown = HIDDEN.sub(lambda match: f"[U+{ord(match.group()):04X}]", text[:limit])
    return shown if len(text) <= limit else f"{shown} … [{len(text) - limit:,} more characters in the study's files]"


def name(text: object) -> str:
    """Return a name on one line, cut to a short length."""
    return visible(" ".join(str(text).split()), LONGEST_NAME)


def script_json(value: Any) -> str:
    """Return JSON for the inside of a <script> element; no character in it can end the element or start markup."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(str.maketrans(UNSAFE_IN_SCRIPT))
