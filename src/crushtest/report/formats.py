"""Numbers as people read them: fixed decimals per unit, a real minus sign, no negative zero."""

from __future__ import annotations

import math

from crushtest.printing.sizes import show_size

MINUS = "\u2212"
DECIMALS = {"rate": 1, "score": 3, "bits": 3, "nats": 3, "ratio": 3, "z": 2}


def show_value(value: float | None, unit: str) -> str:
    """Return a metric's value: rates in percent, perplexities to about four figures, everything else in decimals."""
    if value is None:
        return "undefined"
    return _number(value, unit, sign=False) + ("%" if unit == "rate" else "")


def show_difference(difference: float | None, unit: str) -> str:
    """Return a signed difference, without its unit; differences of rates are percentage points."""
    return "undefined" if difference is None else _number(difference, unit, sign=True)


def show_clear_difference(difference: float | None, unit: str) -> str:
    """Return a signed difference as `show_difference` does, in powers of ten if rounding would make it 0."""
    text = show_difference(difference, unit)
    return _power(difference, unit, sign=True) if difference and not text.strip("0.") else text


def show_interval(low: float | None, high: float | None, unit: str) -> str:
    """Return the 95% interval of a difference, both ends signed; empty without an interval.

    The ends are powers of ten if both would round to 0 and are not 0.
    """
    if low is None or high is None:
        return ""
    ends = [_number(end, unit, sign=True) for end in (low, high)]
    if (low or high) and not any(end.strip("0.") for end in ends):
        ends = [_power(end, unit, sign=True) for end in (low, high)]
    return " to ".join(ends)


def show_bound(bound: float, unit: str) -> str:
    """Return a size that a difference stays below, rounded up."""
    decimals = _decimals(bound * _scale(unit), unit)
    return _number(
        math.ceil(bound * _scale(unit) * 10**decimals - 1e-9) / 10**decimals / _scale(unit), unit, sign=False
    )


def show_range(low: float | None, high: float | None, unit: str) -> str:
    """Return the 95% interval of a value; empty without an interval."""
    if low is None or high is None:
        return ""
    return f"{_number(low, unit, sign=False)} to {_number(high, unit, sign=False)}{'%' if unit == 'rate' else ''}"


def show_band(half_width: float | None, unit: str) -> str:
    """Return measurement noise as `±0.4 points`, in powers of ten if rounding would make it 0."""
    if half_width is None:
        return "undefined"
    text = _number(half_width, unit, sign=False)
    if half_width > 0 and not text.strip("0."):
        text = _power(half_width, unit, sign=False)
    return f"±{text}{unit_of_difference(unit)}"


def unit_of_difference(unit: str) -> str:
    """Return the unit of a difference: ` points` for rates, empty for pure numbers."""
    return {"rate": " points", "bits": " bits", "nats": " nats"}.get(unit, "")


def show_bytes(size: float | None) -> str:
    """Return a size in decimal units, or that it is not recorded."""
    return "not recorded" if size is None else show_size(size)


def show_seconds(seconds: float | None) -> str:
    """Return a duration: 12 s, 3 min 5 s."""
    if seconds is None:
        return "not recorded"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def show_p(p: float | None) -> str:
    """Return a p value; never 0, which no finite sample can show."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _number(value: float, unit: str, *, sign: bool) -> str:
    if not math.isfinite(value):
        return "not finite"
    scaled = value * _scale(unit)
    decimals = _decimals(scaled, unit)
    rounded = round(scaled, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
    text = f"{rounded:{'+' if sign and rounded else ''},.{decimals}f}"
    return text.replace("-", MINUS)


def _power(value: float, unit: str, *, sign: bool) -> str:
    """Return one digit and a power of ten; the exponent keeps the plain minus sign."""
    scaled = value * _scale(unit)
    digits, exponent = f"{scaled:{'+' if sign and scaled else ''}.0e}".split("e")
    return f"{digits.replace('-', MINUS)}e{exponent}" if scaled else "0"


def _scale(unit: str) -> int:
    return 100 if unit == "rate" else 1


def _decimals(scaled: float, unit: str) -> int:
    if unit == "perplexity":
        return 2 if abs(scaled) < 100 else 1 if abs(scaled) < 1000 else 0
    return DECIMALS.get(unit, 3)
