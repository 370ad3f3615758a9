"""Each caution of a table is said once below it, and marked where it holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crushtest.report.page.matrix import Cell
from crushtest.report.page.table_notes import column_notes, row_notes

PIECES = st.sampled_from(["only 3 items", "only 12 items", "a few clusters dominate it", "rose from 3 to 4", ""])
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.lists(PIECES, max_size=3), min_size=width, max_size=width), min_size=1)
)


def cell(note: str, interval: str = "0 to 1") -> Cell:
    return Cell("noise", 0, "0", interval, "", 0.0, note)


@given(ROWS)
def test_every_caution_is_marked_once_at_its_cell_or_its_row(rows: list[list[list[str]]]) -> None:
    table = [[cell("; ".join(filter(None, pieces))) for pieces in row] for row in rows]
    notes = row_notes(table)
    assert len(set(notes.texts)) == len(notes.texts)
    for row, head, cells in zip(rows, notes.heads, notes.cells, strict=True):
        for pieces, own in zip(row, cells, strict=True):
            kinds = {"only" if piece.startswith("only") else piece for piece in pieces if piece}
            marked = [notes.texts[number - 1] for number in (*head, *own)]
            assert {"only" if text.startswith("only") else text for text in marked} == kinds
            assert not set(head) & set(own)


def test_cautions_that_differ_in_a_count_are_one_note() -> None:
    notes = row_notes([[cell("only 3 items"), cell("only 12 items")], [cell(""), cell("only 5 items")]])
    assert notes.texts == ("only 3 to 12 items",)
    assert notes.heads == ((1,), ())
    assert notes.cells == (((), ()), ((), (1,)))


def test_a_caution_of_a_whole_column_stands_at_its_head() -> None:
    notes = column_notes([[cell("at chance"), cell("")], [cell("at chance"), cell("few; at chance")]])
    assert notes.heads == ((1,), ())
    assert notes.cells == (((), ()), ((), (2, 1)))


def test_a_cell_without_an_interval_has_no_note() -> None:
    assert row_notes([[cell("only 3 items", ""), cell("at chance")]]).heads == ((1,),)
