"""The built-in prose: two disjoint parts of English sentences."""

from __future__ import annotations

from crushtest.data.python_docs import calibration_prose, evaluation_prose, split_prose

SENTENCE = "The statement is executed once for every item that the iterator of the loop gives, in order."


def paragraphs(texts: list[str]) -> list[str]:
    return [paragraph for text in texts for paragraph in text.split("\n\n")]


def test_the_two_parts_share_no_paragraph() -> None:
    calibration, evaluation = paragraphs(calibration_prose()), paragraphs(evaluation_prose())
    assert not set(calibration) & set(evaluation)
    assert len(calibration) == len(set(calibration))


def test_both_parts_are_large_enough_to_use() -> None:
    assert sum(map(len, calibration_prose())) > 80_000
    assert sum(map(len, evaluation_prose())) > 50_000


def test_a_paragraph_that_two_topics_share_is_kept_once() -> None:
    calibration, evaluation = split_prose({"with": SENTENCE, "compound": SENTENCE, "import": SENTENCE})
    assert [*calibration, *evaluation] == [SENTENCE]


def test_markup_is_removed_and_what_is_not_prose_is_left_out() -> None:
    marked = SENTENCE.replace("iterator", "*iterator*").replace("loop", "**loop** [3]").replace(" once", "\n   once")
    grammar = 'for_stmt ::= "for" target_list "in" starred_list ":" suite ["else" ":" suite] and more words here.'
    program = ">>> for item in range(10): print(item) and several other words that make this line a long one."
    heading = 'The "for" statement\n*******************'
    texts = split_prose({"for": "\n\n".join([heading, grammar, marked, program])})
    assert paragraphs([*texts[0], *texts[1]]) == [SENTENCE]


def test_no_paragraph_holds_markup() -> None:
    for paragraph in paragraphs(calibration_prose() + evaluation_prose()):
        assert "::" not in paragraph, paragraph
        assert "``" not in paragraph, paragraph
        assert ">>>" not in paragraph, paragraph
