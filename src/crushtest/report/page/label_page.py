"""The sheet of pairs as one page: no network, no text of a model that runs, and none before a notice is accepted."""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.registry import SCORERS
from crushtest.report.page.html import TEMPLATES, environment, policy
from crushtest.study.label_sheet import ALLOWED, SheetRow
from crushtest.study.labels import Labelling


def label_page(labelling: Labelling, rows: Sequence[SheetRow]) -> str:
    """Return the page as HTML. It names neither arm."""
    from markupsafe import Markup

    style, script = (TEMPLATES.joinpath(file).read_text("utf-8") for file in ("label.css", "label.js"))
    return (
        environment()
        .get_template("label.html.j2")
        .render(
            policy=policy([script], [style]),
            style=Markup(style),
            script=Markup(script),
            task=labelling.planned.name,
            scorer=labelling.scorer,
            question=question(labelling),
            rows=rows,
            labels=ALLOWED,
        )
    )


def question(labelling: Labelling) -> str:
    """Return what people are asked of every answer: what the scorer measures, and from where on it counts."""
    about = SCORERS.get(SCORERS.split(labelling.scorer)[0]).about
    return f"The scorer measures: {about.measures}. Yes is what should get {labelling.threshold:g} or more."
