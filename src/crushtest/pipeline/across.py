"""What is checked before two arms in different engines are compared, and which pairs are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.pipeline import fixed_text
from crushtest.study.arms import Arm, leads_to
from crushtest.study.plan import Plan

if TYPE_CHECKING:
    from crushtest.stats.tokens import TokenCounts

Pair = tuple[str, str]
"""An arm, and the arm that it is compared with."""

SECTION = "across_engines"
"""The section of the manifest that says what was checked of each pair."""

SAME = ("chat_template_sha256", "start_token", "sampling")
"""Entries of an engine's description that must be equal, or a reader is told."""

BOUND = {"token": 0.1, "byte": 0.02}
"""How far the fixed text's log-likelihoods of two engines may lie apart, in nats per token or byte."""


class TextCheck(NamedTuple):
    """How many nats more an arm gives the fixed text than the other, `per` token if both cut it alike, else byte."""

    nats: float
    per: str

    @property
    def within(self) -> bool:
        """True if the engines agree."""
        return abs(self.nats) <= BOUND[self.per]


def check_text(manifest: Mapping[str, Any], pair: Pair) -> TextCheck | None:
    """Compare what both arms of a pair gave the fixed text; None if one of them gave nothing."""
    after, before = (manifest.get(fixed_text.SECTION, {}).get(name, {}) for name in pair)
    if "nats" not in before or "nats" not in after:
        return None
    digests = {before["token_digest"], after["token_digest"]}
    if len(digests) == 1 and None not in digests:
        return TextCheck(after["nats"] / after["tokens"] - before["nats"] / before["tokens"], "token")
    return TextCheck(after["nats"] / after["bytes"] - before["nats"] / before["bytes"], "byte")


def engine_kind(manifest: Mapping[str, Any], arm: str) -> tuple[Any, Any]:
    """Return the engine that ran an arm and, behind an address, the program that serves."""
    engine = manifest.get("arms", {}).get(arm, {}).get("engine", {})
    server = engine.get("server")
    return engine.get("engine"), server.get("kind") if isinstance(server, dict) else None


def crosses(manifest: Mapping[str, Any], pair: Pair) -> bool:
    """Return True if the arms of a pair ran in different engines."""
    return engine_kind(manifest, pair[0]) != engine_kind(manifest, pair[1])


def refused_pairs(manifest: Mapping[str, Any], plan: Plan) -> dict[Pair, str]:
    """Return the pairs across engines that disagree on the fixed text, and why each is not compared.

    A pair is compared all the same if the arm's `accept` says so, or if another arm of its engine that it is compared
    with agrees with the far side: then it is not the engine that differs.
    """
    by_name = {arm.name: arm for arm in plan.arms}
    return {
        (arm, against): _why(manifest, by_name[arm], against, check)
        for arm, against in plan.pairs
        if crosses(manifest, (arm, against))
        and (check := check_text(manifest, (arm, against))) is not None
        and not check.within
        and by_name[arm].accept is None
        and not any(_agrees(manifest, between, against) for between in _between(manifest, plan, arm, against))
    }


def warn_early(manifest: Mapping[str, Any], plan: Plan, arm: Arm) -> Iterable[str]:
    """Yield why pairs of an arm that was loaded just now will be refused, unless an arm still to come may vouch."""
    for pair, why in refused_pairs(manifest, plan).items():
        between = _between(manifest, plan, *pair, expected=True)
        if arm.name in pair and all(other.name in manifest.get(fixed_text.SECTION, {}) for other in between):
            yield why


def _between(manifest: Mapping[str, Any], plan: Plan, arm: str, against: str, *, expected: bool = False) -> list[Arm]:
    """Return the arms of an arm's engine that it is compared with, and that are compared with its far side.

    expected   also those that were not loaded yet and name the same engine
    """
    by_name = {each.name: each for each in plan.arms}
    between = [by_name[name] for name in leads_to({each.name: each.against for each in plan.arms}, arm)]
    return [
        other
        for other in between
        if against in other.against
        and (
            engine_kind(manifest, other.name) == engine_kind(manifest, arm)
            or (expected and other.name not in manifest.get("arms", {}) and other.engine == by_name[arm].engine)
        )
    ]


def _agrees(manifest: Mapping[str, Any], arm: Arm, against: str) -> bool:
    check = check_text(manifest, (arm.name, against))
    return check is not None and (check.within or arm.accept is not None)


def _why(manifest: Mapping[str, Any], arm: Arm, against: str, check: TextCheck) -> str:
    here, there = (
        " ".join(filter(None, engine_kind(manifest, name))) or "an unknown engine" for name in (arm.name, against)
    )
    return (
        f"{arm.name} in {here} gives a fixed text {check.nats:+.3f} nats per {check.per} against {against} in {there}, "
        f"beyond {BOUND[check.per]}: either that engine runs the model otherwise (rope base, scales), or "
        f"compression damaged it. Put an uncompressed file in {here} between (`against:`), or accept it in words "
        f"(`accept:` of the arm, or crushtest compare --arm {arm.name!r} --accept WHY)"
    )


def checked_pairs(
    manifest: Mapping[str, Any], plan: Plan, tokens: Mapping[tuple[str, str, str], TokenCounts]
) -> dict[str, dict[str, Any]]:
    """Return what was checked of every pair in two engines or with other tokens, for the manifest.

    tokens       per task the items read as the same tokens, as other ones, and as tokens that are not known
    chat_template_sha256, start_token, sampling
                 whether both have the same; None if either does not say
    fixed_text   the difference in nats, `per` token or byte, and its bound; None if an engine did not score it
    accepted     the words with which a pair beyond the bound is compared all the same, if so
    refused      why the pair is not compared, if so
    """
    refused = refused_pairs(manifest, plan)
    accepted = {arm.name: arm.accept for arm in plan.arms if arm.accept is not None}
    checked: dict[str, dict[str, Any]] = {}
    for pair in plan.pairs:
        counts = {task: count for (arm, against, task), count in tokens.items() if (arm, against) == pair}
        if not (crosses(manifest, pair) or any(count.differ for count in counts.values())):
            continue
        after, before = (manifest.get("arms", {}).get(name, {}).get("engine", {}) for name in pair)
        check = check_text(manifest, pair) if crosses(manifest, pair) else None
        entry: dict[str, Any] = {
            "arm": pair[0],
            "against": pair[1],
            "engines_differ": crosses(manifest, pair),
            "tokens": {task: count._asdict() for task, count in counts.items()},
            **{fact: before[fact] == after[fact] if fact in before and fact in after else None for fact in SAME},
            "fixed_text": check and {"nats": check.nats, "per": check.per, "bound": BOUND[check.per]},
        }
        if check is not None and not check.within and pair[0] in accepted:
            entry["accepted"] = accepted[pair[0]]
        if pair in refused:
            entry["refused"] = refused[pair]
        checked[f"{pair[0]} against {pair[1]}"] = entry
    return checked


def recorded_refusals(manifest: Mapping[str, Any]) -> set[Pair]:
    """Return the pairs that the last comparison refused."""
    entries = manifest.get(SECTION, {}).values()
    return {(entry["arm"], entry["against"]) for entry in entries if "refused" in entry}
