"""The page: claims, figures, defects and rules, from the published tables and our own run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from crushtest.data.catalogue import data_set
from crushtest.data.published.point import Point
from crushtest.data.published.table import cells_per_flag
from crushtest.data.published.xu2024.doubts import rules
from paper.defects import defects
from paper.listed import CLAIMS
from paper.numbers import Numbers
from paper.own import Own, reported
from paper.plots import Plot

DOCS = Path(__file__).parents[1]
OWN_RUN = DOCS / "studies" / "matrix" / "contrasts.csv"
COLUMNS = ("", "claim", "verdict", "published tables", "comparable cells only", "our run")
OPENING = """\
# “Beyond Perplexity”, its tables computed again

<!-- Made by docs/paper_page.py from the published tables; do not edit. -->

Xu, Gupta, Li, Bentham and Srikumar (Findings of EMNLP 2024,
[doi](https://doi.org/10.18653/v1/2024.findings-emnlp.901)) measured what pruning and quantization do to the harms of
four models, in 36 arms each. This project grew out of that paper. Its authors published all their tables, and only
therefore can anything on this page be said. Here are its main claims, in our words, with the number that the tables
give for each, the same number from the comparable cells only, and what our own run says. Of {claims} claims {holds}
hold, {loosely} hold loosely and {artefact} rest on a defect, those on bias scores. Whoever wants to check a sentence
about the tables needs one file and one line, which it names.

The tables are at [{repository}](https://github.com/{repository}/tree/{revision}/full_results), revision `{short}`. No
licence is stated there. Numbers are quoted with their source, and the files are not part of this project. The paper's
own text was at hand only in its abstract and in the captions of its figures, so the claims are worded after these,
C11 and C12 after public summaries.

    crushtest published fetch xu2024 -o published/            # every number, marked where something is wrong with it
    crushtest published figures xu2024 -o published/figures/  # the paper's figures and tables from them
    crushtest report STUDY --beside xu2024                    # published changes beside your own
    python docs/paper_page.py                                 # this page
"""
CLAIMS_ABOVE = """
## Claims

`holds`: the tables say so. `loosely`: for some models or measures, or less than stated. `artefact`: the number comes
from a defect and not from the models. A verdict is about what these tables show, not about what is true of models.
None of the published numbers has an interval. “Comparable cells only” leaves out what the rules below leave out. [Our
run](studies/matrix/README.md) is one model of 135M parameters. “Clearly” means that a 95% interval excludes 0 and that
p, corrected over the rows of its task and arm, is at most 0.05.

"""
FIGURES_ABOVE = """
## Figures

One per dimension; every number is a change against the dense model of the same table. Hollow marks are published.
Numbers that cannot be compared are left out.

"""
DEFECTS_ABOVE = """
## What is wrong in the tables

They are listed so that the rest of the tables can be used. Lines are those of the files in `full_results/`, the
header being line 1.

"""
RULES_ABOVE = """
## The rules, and how many cells each marks

`published.parquet` holds {total:,} numbers: {pooled:,} of results and {subjects:,} of UnQover's subjects.
{unmarked:,} have no mark. A cell may have several. “Left out” are those that no figure above and no number of the
last but one column of the claims uses.

"""
CLOSING = """
## What is not in the tables

MMLU, TruthfulQA, MT-Bench, XSum, the experiments with fine-tuning but for figure 4, BBQ's race and class, and any
answer to a single item. So no interval can be computed, and whether two arms differ by more than chance cannot be
said. BOLD lacks magnitude at 10, 20 and 30% for Llama-2-7B, UnQover its GPTQ; the perplexities of 16 subreddits lack
int8, GPTQ and AWQ.
"""


def page(points: Sequence[Point], own: Own, figures: Sequence[Plot]) -> str:
    """Return the page as Markdown."""
    about = data_set("xu2024")
    opening = OPENING.format(
        repository=about.repository,
        revision=about.revision,
        short=about.revision[:7],
        claims=len(CLAIMS),
        **Counter(claim.verdict for claim in CLAIMS),
    )
    return "".join(
        (
            opening,
            CLAIMS_ABOVE,
            *claims(points, own),
            FIGURES_ABOVE,
            *(
                f"### {plot.title}\n\n![{plot.title}](paper/{plot.stem}.svg)\n\n{plot.figure.note}\n\n"
                for plot in figures
            ),
            DEFECTS_ABOVE.lstrip("\n"),
            *(f"{number}. **{title}.** {text}\n" for number, (title, text) in enumerate(defects(points), start=1)),
            rules_above(points),
            *rule_rows(points),
            CLOSING,
        )
    )


def claims(points: Sequence[Point], own: Own) -> Iterator[str]:
    """Yield the table of claims, then why each has its verdict."""
    every, comparable = Numbers(points), Numbers(points, comparable=True)
    yield f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"
    for claim in CLAIMS:
        cells = (
            claim.id,
            claim.claim,
            claim.verdict,
            claim.number(every),
            claim.number(comparable),
            reported(own, claim.ours),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
    yield "\n"
    for claim in CLAIMS:
        yield f"- **{claim.id}** rests on {claim.rests_on}. {claim.why}\n"


def rules_above(points: Sequence[Point]) -> str:
    subjects = sum(point.metric_there in ("gamma", "eta") for point in points)
    return RULES_ABOVE.format(
        total=len(points),
        pooled=len(points) - subjects,
        subjects=subjects,
        unmarked=sum(not point.flags for point in points),
    )


def rule_rows(points: Sequence[Point]) -> Iterator[str]:
    """Yield the table of rules."""
    yield "| rule | cells | left out | says |\n| --- | --- | --- | --- |\n"
    for flag, count in cells_per_flag(points).items():
        rule = rules()[flag]
        yield f"| `{flag}` | {count:,} | {'no' if rule.comparable else 'yes'} | {rule.reason} |\n"
