"""What is checked before two arms in different engines are compared, and which pairs are refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.pipeline import fixed_text
from crushtest.study.arms import Arm
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
    """How many nats more an arm gives the fixed text than the other, `per` token if both cut it alike, else byte.

    `nats` is NaN if either gave the text no finite log-likelihood: then they never agree.
    """

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
    per, unit = ("token", "tokens") if len(digests) == 1 and None not in digests else ("byte", "bytes")
    if before["nats"] is None or after["nats"] is None:
        return TextCheck(math.nan, per)
    return TextCheck(after["nats"] / after[unit] - before["nats"] / before[unit], per)


def engine_kind(manifest: Mapping[str, Any], arm: str) -> tuple[Any, ...]:
    """Return the engine that ran an arm and, behind an address, the program that serves.

    A program that the engine does not recognise is told from another by its address.
    """
    engine = manifest.get("arms", {}).get(arm, {}).get("engine", {})
    server = engine.get("server")
    if not isinstance(server, dict):
        return (engine.get("engine"),)
    where = [] if engine.get("recognised", True) else [engine.get("address")]
    return engine.get("engine"), server.get("kind"), *where


def crosses(manifest: Mapping[str, Any], pair: Pair) -> bool:
    """Return True if the arms of a pair ran in different engines."""
    return engine_kind(manifest, pair[0]) != engine_kind(manifest, pair[1])


def disagreeing_pairs(manifest: Mapping[str, Any], plan: Plan) -> dict[Pair, TextCheck]:
    """Return the pairs across engines that lie beyond the bound on the fixed text."""
    return {
        pair: check
        for pair in plan.pairs
        if crosses(manifest, pair) and (check := check_text(manifest, pair)) is not None and not check.within
    }


def vouching_pair(manifest: Mapping[str, Any], plan: Plan, pair: Pair) -> Pair | None:
    """Return a pair in the same two engines that agrees on the fixed text: then it is not the engine that differs."""
    kinds = {engine_kind(manifest, name) for name in pair}
    for other in plan.pairs:
        check = check_text(manifest, other)
        if check is not None and check.within and {engine_kind(manifest, name) for name in other} == kinds:
            return other
    return None


def refused_pairs(manifest: Mapping[str, Any], plan: Plan, measured: Collection[str] = frozenset()) -> dict[Pair, str]:
    """Return the pairs across engines that disagree on the fixed text, and why each is not compared.

    A pair is compared all the same if the arm's `accept` says so, or if another pair vouches. A pair across
    engines is not compared either if the manifest no longer says what a `measured` arm gave the text.
    """
    accepted = {arm.name for arm in plan.arms if arm.accept is not None}
    engines = {arm.name: arm.engine for arm in plan.arms}
    noted = manifest.get("arms", {}).keys()
    unknown = {
        pair: f"manifest.json no longer says what {' and '.join(gone)} gave a fixed text, and the two ran in different "
        f"engines. Restore it, measure the arm anew, or accept it in words (`accept:` of the arm)"
        for pair in plan.pairs
        if engines[pair[0]] != engines[pair[1]] and pair[0] not in accepted
        if (gone := [name for name in pair if name in measured and name not in noted])
    }
    return unknown | {
        pair: _why(manifest, pair, check)
        for pair, check in disagreeing_pairs(manifest, plan).items()
        if pair[0] not in accepted and vouching_pair(manifest, plan, pair) is None
    }


def warn_early(manifest: Mapping[str, Any], plan: Plan, arm: Arm) -> Iterable[str]:
    """Yield why pairs will be refused if the arm that was loaded just now is the last that could vouch for them."""
    scored = manifest.get(fixed_text.SECTION, {}).keys()
    engines = {each.name: each.engine for each in plan.arms}
    for pair, why in refused_pairs(manifest, plan).items():
        alike = (other for other in plan.pairs if _engines(engines, other) == _engines(engines, pair))
        names = {name for other in alike for name in other}
        if arm.name in names <= scored:
            yield why


def _engines(engines: Mapping[str, str], pair: Pair) -> set[str]:
    return {engines[name] for name in pair}


def _why(manifest: Mapping[str, Any], pair: Pair, check: TextCheck) -> str:
    arm, against = pair
    here, there = (" ".join(filter(None, engine_kind(manifest, name))) or "an unknown engine" for name in pair)
    apart = (
        f"gives a fixed text {check.nats:+.3f} nats per {check.per} against {against} in {there}, beyond "
        f"{BOUND[check.per]}"
        if math.isfinite(check.nats)
        else f"or {against} in {there} gives a fixed text no finite log-likelihood"
    )
    return (
        f"{arm} in {here} {apart}: either that engine runs the model otherwise (rope base, scales), or "
        f"compression damaged it. Put an uncompressed file in {here} between (`against:`), or accept it in words "
        f"(`accept:` of the arm, or crushtest compare --arm {arm!r} --accept WHY)"
    )


def checked_pairs(
    manifest: Mapping[str, Any],
    plan: Plan,
    tokens: Mapping[tuple[str, str, str], TokenCounts],
    measured: Collection[str] = frozenset(),
) -> dict[str, dict[str, Any]]:
    """Return what was checked of every pair in two engines or with other or unknown tokens, for the manifest.

    Two arms of one model in one engine cut texts alike, even where no answer says which tokens.

    tokens       per task the items read as the same tokens, as other ones, and as tokens that are not known
    chat_template_sha256, start_token, sampling
                 whether both have the same; None if either does not say
    fixed_text   the difference in nats (None if either is not finite), `per` token or byte, and its bound; None if an
                 engine did not score it
    accepted     the words with which a pair beyond the bound is compared all the same, if so
    vouched      the pair of the same engines that agrees, so that one beyond the bound is compared, if so
    refused      why the pair is not compared, if so
    """
    refused, disagreeing = refused_pairs(manifest, plan, measured), disagreeing_pairs(manifest, plan)
    by_name = {arm.name: arm for arm in plan.arms}
    checked: dict[str, dict[str, Any]] = {}
    for pair in plan.pairs:
        arm, against = (by_name[name] for name in pair)
        counts = {task: count for (one, other, task), count in tokens.items() if (one, other) == pair}
        different = crosses(manifest, pair) or pair in refused
        all_unknown = arm.model != against.model and {count.equal for count in counts.values()} == {0}
        if not (different or all_unknown or any(count.differ for count in counts.values())):
            continue
        after, before = (manifest.get("arms", {}).get(name, {}).get("engine", {}) for name in pair)
        check = check_text(manifest, pair) if different else None
        entry: dict[str, Any] = {
            "arm": arm.name,
            "against": against.name,
            "engines_differ": different,
            "tokens": {task: count._asdict() for task, count in counts.items()},
            **{fact: before[fact] == after[fact] if fact in before and fact in after else None for fact in SAME},
            "fixed_text": check
            and {
                "nats": check.nats if math.isfinite(check.nats) else None,
                "per": check.per,
                "bound": BOUND[check.per],
            },
        }
        if pair in refused:
            entry["refused"] = refused[pair]
        elif pair in disagreeing and arm.accept is not None:
            entry["accepted"] = arm.accept
        elif pair in disagreeing:
            entry["vouched"] = _pair_text(vouching_pair(manifest, plan, pair))
        checked[_pair_text(pair)] = entry
    return checked


def _pair_text(pair: Pair | None) -> str:
    return " against ".join(pair or ())


def recorded_refusals(manifest: Mapping[str, Any]) -> set[Pair]:
    """Return the pairs that the last comparison refused."""
    entries = manifest.get(SECTION, {}).values()
    return {(entry["arm"], entry["against"]) for entry in entries if "refused" in entry}
