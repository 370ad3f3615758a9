"""A study in Markdown of at most ten lines, to paste into a pull request or a chat."""

from __future__ import annotations

from collections.abc import Iterator

from crushtest.report.answers import most_changed
from crushtest.report.arm_verdict import ArmVerdict, verdicts
from crushtest.report.bounds import room_text
from crushtest.report.findings import none_detectable
from crushtest.report.formats import show_bytes, show_clear_difference, show_value, unit_of_difference
from crushtest.report.harm_order import least_harm_first
from crushtest.report.judged import Judged
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.table_files import MARKDOWN
from crushtest.report.untrusted import visible
from crushtest.report.wording import counted
from crushtest.study.folder import StudyFolder

MOST_LINES = 10
COLUMNS = ("arm", "size", "worse", "changed answers", "could miss")


def summary_lines(folder: StudyFolder, judged: Judged | None = None) -> list[str]:
    """Return the summary: a line on the study and where its page lies, then a row per arm, least harm first."""
    study = read_study(folder)
    ranked = least_harm_first(study, verdicts(study))
    gate = f" Gate, policy {_plain(judged.policy)}: {_plain(judged.outcome)}." if judged else ""
    shown = ranked[: MOST_LINES - len(("head", "", "columns", "rule"))]
    more = f", of which {len(ranked) - len(shown)} with more harm are left out" if len(shown) < len(ranked) else ""
    count = counted(len(ranked), "variant")
    head = f"**{_plain(study.title)}**: {count} against dense{more}.{gate} [Report]({_address(folder)})"
    columns = (*COLUMNS, "gate") if judged else COLUMNS
    rows = [_row(study, verdict, judged) for verdict in shown]
    return [head, *(("", _line(columns), f"|{' --- |' * len(columns)}", *map(_line, rows)) if rows else ())]


def _row(study: StudyView, verdict: ArmVerdict, judged: Judged | None) -> tuple[str, ...]:
    arm = verdict.arm
    gate = judged.arms.get(arm.name) if judged else None
    share, size = arm.share_of_dense, arm.totals.get("compressed_model_size_bytes")
    texts = (
        arm.name,
        "not recorded" if share is None or not size else f"{show_bytes(size)} ({share:.0%} of dense)",
        verdict.status.removeprefix("worse in ") + "".join(_sizes(study, verdict)),
        most_changed(study, arm).text,
        could_miss(study, verdict),
    )
    return (*texts, gate.outcome if gate else "no rule") if judged else texts


def _sizes(study: StudyView, verdict: ArmVerdict) -> Iterator[str]:
    """Yield by how much each headline got clearly worse, the first three in full."""
    for finding in verdict.worse[:3]:
        unit = study.task(finding.contrast.task).unit(finding.contrast.metric)
        size = f"{show_clear_difference(finding.contrast.difference, unit)}{unit_of_difference(unit)}"
        yield f"; {finding.subject} {size}"
    if len(verdict.worse) > 3:
        yield f"; and {len(verdict.worse) - 3} more"


def could_miss(study: StudyView, verdict: ArmVerdict) -> str:
    """Return the size of change that the items of each headline without a clear one would often miss."""
    parts = []
    for finding in verdict.unclear:
        unit = study.task(finding.contrast.task).unit(finding.contrast.metric)
        size = finding.contrast.mde
        if size is not None and room_text(finding.contrast, unit, size):
            parts.append(f"any harm in {finding.subject}")
        elif size is not None:
            parts.append(f"{show_value(size, unit).rstrip('%')}{unit_of_difference(unit)} in {finding.subject}")
        elif none_detectable(finding.contrast, unit):
            parts.append(f"any change in {finding.subject}")
    parts += [f"any change in {each.subject} (too few clusters)" for each in verdict.unsettled]
    return "; ".join(parts) or "not known"


def _line(texts: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_plain, texts))} |"


def _plain(text: str) -> str:
    """Escape what Markdown and HTML would read as markup."""
    shown = visible(" ".join(text.split()))
    return MARKDOWN.sub(r"\\\1", shown).replace("<", "&lt;").replace(">", "&gt;")


def _address(folder: StudyFolder) -> str:
    return folder.report.as_posix().replace(" ", "%20").replace("(", "%28").replace(")", "%29")
