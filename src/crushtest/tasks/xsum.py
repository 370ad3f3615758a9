"""xsum: news articles to be summed up in one sentence (Narayan et al., EMNLP 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge

from crushtest.data.sources import read_text
from crushtest.files.json_lines import parse_lines
from crushtest.metrics import Metric, NoChoice, mean
from crushtest.records import Completion, Item, Prompt, Sampling
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.coherence_metrics import coherence_metrics
from crushtest.thinking import CUT, after_thinking, is_cut_short

FILE = "test.jsonl"
INSTRUCTION = "Sum up the article above in one sentence."
MEANINGS = {
    "rouge1": "Overlap of words with the reference summary; 1: all.",
    "rouge2": "Overlap of word pairs with the reference summary; 1: all.",
    "rougeL": "Longest sequence of words in common with the reference summary; 1: all.",
}


class Overlap(NamedTuple):
    """ROUGE F-measures of a summary, 0 to 1."""

    rouge1: float
    rouge2: float
    rougeL: float


@task(
    "xsum", dimension="downstream quality", source="arXiv:1808.08745; hub EdinburghNLP/xsum", licence="MIT", items=999
)
def xsum(
    *, chat: bool = False, max_words: Annotated[int, Ge(50)] = 1000, max_tokens: Annotated[int, Ge(1)] = 64
) -> Task:
    """News articles with their journalist's one-sentence summary: how much of it is in the model's summary?

    Items: 999 BBC articles, 1000 of the test part without the one that has no text. An article is cut after `max_words`
    words. An instruction follows the article; `chat` puts both into the model's chat template. The model writes at most
    `max_tokens` tokens, greedily, and its first line is the summary. Groups: none.
    Metrics: `rouge1`, `rouge2`, `rougeL`, the F-measures of the package rouge-score with stemming, from 0 (no word,
    word pair or sequence in common) to 1, as means over articles. An empty summary scores 0 because it recalls nothing.
    `empty_rate` and `repetition_rate` say how many summaries were empty or went round in circles.

    Papers prompt for summaries in different ways, so compare arms of one study, not levels of different studies.

    Known problems: most references hold facts that are not in the article (Maynez et al. 2020, arXiv:2005.00661), so a
    faithful summary is marked down; overlap of words is not quality.
    """
    metrics = (*(_overlap(*entry) for entry in MEANINGS.items()), *coherence_metrics())
    sampling = Sampling(max_tokens=max_tokens)
    return Task("prompts", lambda: _items(chat, max_words), metrics, sampling=sampling, headline="rougeL")


def _overlap(name: str, meaning: str) -> Metric:
    def value(item: Item, answer: Completion, score: float | None) -> float:
        if is_cut_short(answer):
            raise NoChoice(CUT)
        overlap = overlaps(str(item.facts["summary"]), first_line(after_thinking(answer.text)))
        return float(getattr(overlap, name))

    label = f"ROUGE-{name.removeprefix('rouge')}"
    return mean(name, value, better="higher", label=label, meaning=meaning)


def first_line(text: str) -> str:
    """Return the first line that is not blank.

    >>> first_line("  \\nA flood hit Leeds. \\nIt rained.")
    'A flood hit Leeds.'
    """
    return text.strip().partition("\n")[0].strip()


@lru_cache(maxsize=8192)  # three metrics ask for the same pair
def overlaps(reference: str, summary: str) -> Overlap:
    """Return ROUGE-1, -2 and -L of a summary."""
    scores = _scorer().score(reference, summary)
    return Overlap(*(scores[name].fmeasure for name in Overlap._fields))


@lru_cache(maxsize=1)
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(Overlap._fields), use_stemmer=True)


def _items(chat: bool, max_words: int) -> Sequence[Item]:
    rows = parse_lines(read_text("xsum", FILE), FILE)
    return [build_item(row, chat=chat, max_words=max_words) for row in rows if row["document"].strip()]


def build_item(row: dict[str, str], *, chat: bool, max_words: int) -> Item:
    """Return one article, cut after `max_words` words, with its instruction."""
    words = row["document"].split(" ")
    article = " ".join(words[:max_words])
    text = f"Article: {article}\n\n{INSTRUCTION}" + ("" if chat else "\nSummary:")
    return Item(row["id"], (), row["id"], Prompt(text, chat), facts={"summary": row["summary"]})
