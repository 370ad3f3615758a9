"""Write docs/paper.md and its figures: the claims of Xu et al. 2024, computed again.

python docs/paper_page.py            write the page and the figures in docs/paper/
python docs/paper_page.py --check    exit code 1 where the page or a figure on disk is not what would be written

It reads the authors' tables as `crushtest published` does, and our own run from docs/studies/matrix/contrasts.csv if
that is there.
"""

from __future__ import annotations

import sys

from crushtest.data.published.xu2024.source import read
from paper.own import Own
from paper.page import DOCS, OWN_RUN, page
from paper.plots import plots


def files() -> dict[str, str]:
    """File name below docs/ -> content."""
    points, own = read(), Own(OWN_RUN)
    made = list(plots(points, own))
    return {"paper.md": page(points, own, made)} | {f"paper/{plot.stem}.svg": plot.svg() for plot in made}


def main() -> None:
    written = files()
    if "--check" in sys.argv:
        stale = [name for name, text in written.items() if (DOCS / name).read_text(encoding="utf-8") != text]
        print("\n".join(stale))
        sys.exit(bool(stale))
    for name, text in written.items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
