"""WikiText-2: the joined text and the articles are those that published numbers were made from."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from crushtest.records import Passage
from crushtest.tasks.wikitext2 import articles, detokenize, joined_lines, wikitext2

RAW = (
    " \n = First = \n \n Some text , with 1 @,@ 000 marks . \n = = Part = = \n Its ( odd ) text 's end . \n"
    " = Second = \n The rest . \n \n"
)


def test_lines_are_joined_as_rows_of_the_hub() -> None:
    assert joined_lines(" \n = A = \n \n B . \n") == "\n\n = A = \n\n\n\n\n B . \n"


def test_articles_begin_at_headings_of_the_first_level_only() -> None:
    first, second = articles(RAW)
    assert first.startswith(" = First = \n")
    assert " = = Part = = " in first
    assert second == " = Second = \n The rest . \n \n"


def test_spacing_of_wikitext_is_undone() -> None:
    expected = " = First =\n\nSome text, with 1,000 marks. \n== Part ==\nIts (odd) text's end. "
    assert detokenize(articles(RAW)[0]) == expected.replace(". \n", ".\n")


def test_protocols_ask_for_windows_as_their_tools_do(data: Path) -> None:
    (pruning,) = wikitext2().items()
    (sliding,) = wikitext2(protocol="sliding", window=1024, stride=256).items()
    text = pruning.request.text  # type: ignore[union-attr]
    assert pruning.request == Passage(text, 2048, "pruning")
    assert sliding.request == Passage(text, 1024, "sliding", 256)
    assert [metric.name for metric in wikitext2().metrics] == ["perplexity", "bits_per_byte"]


def test_the_joined_text_is_the_one_whose_gpt2_tokens_are_287644(data: Path) -> None:
    # transformers' documentation on perplexity gives 287,644 GPT-2 tokens for its text. The npm package gpt-3-encoder
    # counted as many in the text with this checksum.
    text = wikitext2().items()[0].request.text  # type: ignore[union-attr]
    assert sha256(text.encode()).hexdigest() == "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83"


def test_articles_words_and_bytes_are_those_of_published_results(data: Path) -> None:
    # 62 documents, as lm-evaluation-harness runs. A published result of it, 0.6965 bits per byte and a word perplexity
    # of 13.2199, fixes how many bytes there are to a word: ln 13.2199 / (0.6965 ln 2) = 5.3476.
    items = wikitext2(protocol="documents").items()
    words, size = (sum(item.facts[name] for item in items) for name in ("words", "bytes"))  # type: ignore[misc]
    assert len(items) == 62
    assert abs(size / words - 5.3476) < 0.0005
