"""CSV is read row by row, and a bad row spoils no other row."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import TooLarge
from chalicelib.reports.reading import MAX_LINES
from chalicelib.reports.rows import MAX_ROW_LINES, read_rows


def rows(text: str) -> list[tuple[int, list[str]]]:
    return [(row.line, row.cells) for row in read_rows(text) if not row.problem]


def problems(text: str) -> list[tuple[int, str]]:
    return [(row.line, row.problem) for row in read_rows(text) if row.problem]


def test_rows_keep_line_breaks_in_quotes_and_odd_separators_in_values() -> None:
    assert rows('a,b\r\n\n"c\nd","e""f"\n\u2028\x85,g') == [
        (1, ["a", "b"]),
        (3, ["c\nd", 'e"f']),
        (5, ["\u2028\x85", "g"]),
    ]


def test_rows_may_end_with_a_carriage_return_alone() -> None:
    assert [cells for _, cells in rows("a,b\rc,d\r")] == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ('"2,y', "a quotation mark is never closed"),
        ('"2","y"z', "expected after"),
        ('2,"y', "a quotation mark is never closed"),
    ],
)
def test_a_stray_quotation_mark_spoils_its_own_row_alone(bad: str, problem: str) -> None:
    text = f'"1","x"\n{bad}\n"3","z"\n4,a\n"5","b"\n'
    assert [cells[0] for _, cells in rows(text)] == ["1", "3", "4", "5"]
    ((line, reason),) = problems(text)
    assert line == 2
    assert problem in reason or "expected after" in reason


def test_a_row_that_spans_more_lines_than_a_row_may_is_none() -> None:
    within = 'a,b\n1,"x' + "\ny" * (MAX_ROW_LINES - 1) + '"\n2,z\n'
    assert [cells[0] for _, cells in rows(within)] == ["a", "1", "2"]
    beyond = 'a,b\n1,"x' + "\ny" * MAX_ROW_LINES + '"\n2,z\n'
    assert rows(beyond)[-1][1] == ["2", "z"]
    assert problems(beyond)[0][0] == 2


def test_empty_lines_in_a_cell_stay_also_where_the_row_before_spans_several_lines() -> None:
    text = 'a,b\n1,"x\ny"\n2,"\n\n"\n\n3,"\n\n\nz"\n\n'
    assert [cells for _, cells in rows(text)] == [["a", "b"], ["1", "x\ny"], ["2", "\n\n"], ["3", "\n\n\nz"]]


def test_a_byte_order_mark_at_the_start_of_any_line_is_left_out() -> None:
    assert [cells for _, cells in rows("\ufeffa,b\n\ufeff\n\ufeffc,d\n\ufeff")] == [["a", "b"], ["c", "d"]]


def test_more_lines_than_are_read_are_too_large() -> None:
    with pytest.raises(TooLarge, match="more than 300,000 lines"):
        list(read_rows("\n" * (2 * MAX_LINES + 1)))


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=6)))
def test_what_the_csv_writer_of_the_standard_library_writes_is_read_back(table: list[list[str]]) -> None:
    first = ["plain"] * len(table[0])
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([first, *table])
    assert [cells for _, cells in rows(out.getvalue())] == [first, *table]
    assert not problems(out.getvalue())
