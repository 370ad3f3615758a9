"""How a long text is cut into what a model reads at a time, for each protocol of scoring passages."""

from __future__ import annotations

from typing import NamedTuple

from crushtest.errors import EngineError
from crushtest.records import Passage


class Window(NamedTuple):
    """The model reads tokens `start` to `stop - 1` (the last excluded) and predicts tokens `first` to `stop - 1`.

    Token i is predicted from the output at token i - 1, so `first` is at least `start + 1`.
    """

    start: int
    stop: int
    first: int


def cut(count: int, passage: Passage, longest: int) -> list[Window]:
    """Return the windows of a passage of `count` tokens; `longest` is what the model takes at once.

    For `rolling`, token 0 is the start token that the engine puts in front and does not score, and a window
    longer than the model takes becomes the longest. The other protocols stand for published numbers, made with that
    very window: EngineError if the model does not take it, and for a stride that is no step or leaves gaps.
    """
    window = passage.window or longest
    if passage.protocol == "rolling":
        window = min(window, longest)
    if not 1 <= window <= longest:
        raise EngineError(f"passages: window must be 1 to {longest}, what this model takes (got {window})")
    match passage.protocol:
        case "rolling":
            return _rolling(count, window)
        case "pruning":
            return _pruning(count, window)
        case "sliding":
            stride = passage.stride or window
            if not 1 <= stride <= window:
                raise EngineError(f"passages: stride must be 1 to the window, {window} (got {stride})")
            return _sliding(count, window, stride)


def _rolling(count: int, window: int) -> list[Window]:
    """Return windows of `window` predictions; the last one reads back over what is predicted already, to be as long."""
    firsts = range(1, count, window)
    stops = (min(first + window, count) for first in firsts)
    return [Window(max(0, stop - 1 - window), stop, first) for first, stop in zip(firsts, stops, strict=True)]


def _pruning(count: int, window: int) -> list[Window]:
    """Return whole windows only; a text shorter than a window is one."""
    if count < window:
        return [Window(0, count, 1)] if count > 1 else []
    return [Window(start, start + window, start + 1) for start in range(0, count - window + 1, window)]


def _sliding(count: int, window: int, stride: int) -> list[Window]:
    """Return windows of which the first predicts all it can, and every later one what is new in it."""
    windows = []
    first = 1
    for start in range(0, count, stride):
        stop = min(start + window, count)
        if max(first, start + 1) < stop:
            windows.append(Window(start, stop, max(first, start + 1)))
        first = stop
        if stop == count:
            break
    return windows
