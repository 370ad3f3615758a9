"""What a reply's status says of asking again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

AGAIN = (408, 409, 425, 429)
"""Answers, besides those from 500 on, after which the same request may succeed."""
AT_FAULT = (400, 413, 422)
"""Answers that blame what was sent."""


def retry_after_s(retry_after: str | None) -> float:
    """Seconds of the header Retry-After, which is a number or a date; 0 where there is none that can be read."""
    given = retry_after or ""
    try:
        seconds = float(given)
        return max(0.0, seconds) if isfinite(seconds) else 0.0
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
