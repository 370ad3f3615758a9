"""What a search says in words, on its page and in the terminal."""

from __future__ import annotations

from crushtest.study.searched import CandidateKind, Judged, SearchRecord

WON_AS: dict[CandidateKind, str] = {"uniform": "uniform ", "by text": "the mix "}


def nearest(record: SearchRecord) -> Judged | None:
    """Return what came nearest if nothing passed: what ended the verification, or what harmed least when screened."""
    if record.answer is not None:
        return None
    ended = (record.verified or ())[-1:] or sorted(record.eligible, key=lambda one: one.worst)[:1]
    return ended[0] if ended else None


def left_out(record: SearchRecord, candidate: str) -> str:
    """Say why a candidate was not screened; empty for one that was, and for what is no candidate."""
    better = record.left_out.get(candidate)
    return "" if better is None else f"predicted to be no better than {better}, a regression, in any dimension"


def two_places(ratio: float) -> str:
    """Return a ratio with two places, and never as `-0.00`.

    >>> two_places(-0.004)
    '0.00'
    """
    return f"{round(ratio, 2) or 0.0:.2f}"


def optimism(record: SearchRecord) -> str:
    """Say how much better candidates looked on the half that they were chosen by; empty if none was verified.

    The dimensions that both halves measured are compared: tasks that are asked in the verification alone say nothing.
    """
    before = {one.name: one.ratios for one in record.screened or ()}
    gaps = []
    for one in record.verified or ():
        both = one.ratios.keys() & before[one.name].keys()
        if both:
            gaps.append(max(one.ratios[each] for each in both) - max(before[one.name][each] for each in both))
    if not gaps:
        return ""
    gap = sum(gaps) / len(gaps)
    if not round(gap, 2):
        return "as good on the verification half as on the search half"
    return f"{abs(gap):.2f} margins {'worse' if gap > 0 else 'better'} on the verification half than on the search half"


def comparison(record: SearchRecord) -> str:
    """Say which recipe did best on the verification half: what the search chose, a uniform one, or a mix by text alone.

    Uniform recipes are those next in size. Empty if the other half was not asked of anything else.
    """
    chosen = next((one for one in record.verified or () if one.name == record.answer), (record.verified or (None,))[-1])
    rivals = [one for one in record.beside or () if one.worst < float("inf")]
    if chosen is None or chosen.worst == float("inf") or not rivals:
        return ""
    figures = "; ".join(f"{one.name} {two_places(one.worst)} at size {one.size:.3f}" for one in (chosen, *rivals))
    return (
        f"Worst harm on the verification half, as a share of its margin, as measured: {figures}. "
        f"{_who_won(record, chosen, rivals)}"
    )


def _who_won(record: SearchRecord, chosen: Judged, rivals: list[Judged]) -> str:
    won = [one for one in rivals if round(one.worst, 2) < round(chosen.worst, 2)]
    if not won:
        as_well = [one.name for one in rivals if round(one.worst, 2) == round(chosen.worst, 2)]
        return f"{' and '.join(as_well)} did as well." if as_well else f"{chosen.name} did best."
    names = " and ".join(f"{WON_AS.get(record.candidate(one.name).kind, '')}{one.name}" for one in won)
    smaller = [one.name for one in won if one.size <= chosen.size]
    also = f" {' and '.join(smaller)} {'is' if len(smaller) == 1 else 'are'} no larger." if smaller else ""
    return (
        f"{names[0].upper()}{names[1:]} won against {chosen.name}.{also} "
        "This decides nothing, as it was seen after the choice: search with another --seed to test it."
    )


def swapped(record: SearchRecord) -> list[str]:
    """Return a line per mix that was measured whole: what swaps of two parts brought, or that they brought nothing."""
    lines = []
    for mix in dict.fromkeys(swap.mix for swap in record.swaps):
        own = [swap for swap in record.swaps if swap.mix == mix]
        first, kept = own[0], [swap for swap in own[1:] if swap.kept]
        tried = f"{len(own) - 1} {'swap' if len(own) == 2 else 'swaps'} of two parts tried"
        if kept:
            pairs = ", ".join(f"{swap.parts[0]} with {swap.parts[1]}" for swap in kept)
            lines.append(
                f"{mix}: {tried}; kept {pairs}. Largest measured divergence {first.worst:.3f} before, "
                f"{kept[-1].worst:.3f} after."
            )
        else:
            lines.append(f"{mix}: {tried}, none lowers the largest measured divergence ({first.worst:.3f}).")
    return lines
