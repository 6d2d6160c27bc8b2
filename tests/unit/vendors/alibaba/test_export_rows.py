"""The file of an export in every possible form, the vendor's days, and its reasons."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.ports import ExportRow, RejectedRow
from chalicelib.vendors.alibaba.client import CALENDAR
from chalicelib.vendors.alibaba.export_rows import MAX_RAW, read_rows
from chalicelib.vendors.alibaba.export_text import MAX_LINE
from chalicelib.vendors.alibaba.reasons import REASONS, reason_in_words

HEADER = "gmt_created,punish_domain,punish_url,user_id,reason\r\n"
ROW = "2026-01-15 08:30:00,www.example.com,http://www.example.com/a.jpg,1234567890,PR002\r\n"
CHINESE = "2026-01-15 08:30:00,www.example.com,http://www.example.com/图片/违规.jpg,1234567890,PR001\r\n"


def rows(text: str | bytes, size: int = 65_536) -> list[ExportRow | RejectedRow]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_rows(data[start : start + size] for start in range(0, len(data), size)))


def only(text: str | bytes) -> ExportRow:
    (row,) = rows(text)
    assert isinstance(row, ExportRow), row
    return row


def rejected(text: str | bytes) -> RejectedRow:
    (row,) = rows(text)
    assert isinstance(row, RejectedRow), row
    return row


def row_of(
    *, time: str = "2026-01-15 08:30:00", domain: str = "www.example.com", url: str = "http://a.example/"
) -> str:
    return f"{HEADER}{time},{domain},{url},1234567890,PR002\r\n"


# --- columns ---------------------------------------------------------------------------------------------


def test_a_row_is_read_by_the_names_of_the_header() -> None:
    assert only(HEADER + ROW) == ExportRow(
        line=2,
        blocked_at=datetime(2026, 1, 15, 0, 30, tzinfo=UTC),
        domain="www.example.com",
        url="http://www.example.com/a.jpg",
        canonical="http://www.example.com/a.jpg",
        account="1234567890",
        reason="PR002",
    )


def test_without_a_header_the_documented_order_holds() -> None:
    row = only(ROW)
    assert (row.line, row.url, row.reason) == (1, "http://www.example.com/a.jpg", "PR002")


def test_columns_in_another_order_and_more_of_them_are_found_by_name() -> None:
    row = only("Reason, PUNISH_URL ,extra,gmt_created\nPR102,https://a.example/x,?,2026-01-15T08:30:00Z\n")
    assert (row.reason, row.canonical, row.domain, row.account) == ("PR102", "https://a.example/x", "", "")
    assert row.blocked_at == datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


def test_quoted_cells_hold_commas_quotes_and_text_as_they_are() -> None:
    row = only(row_of(url='"http://a.example/x,y?q=""z"""'))
    assert row.url == 'http://a.example/x,y?q="z"'


def test_a_quoted_cell_may_hold_a_line_break_and_the_next_row_is_read_as_usual() -> None:
    found = rows(f'{HEADER}2026-01-15 08:30:00,"a\nb",http://a.example/,1,PR002\n{ROW}')
    assert [row.line for row in found] == [2, 4]
    assert isinstance(found[0], ExportRow)
    assert found[0].domain == "a\nb"


def test_an_unclosed_quote_costs_one_row_and_not_the_rest_of_the_file() -> None:
    found = rows(HEADER + '2026-01-15 08:30:00,d,"http://a.example/open,1,PR002\r\n' + ROW * 50)
    assert isinstance(found[0], RejectedRow)
    assert "quotes" in found[0].reason
    assert all(isinstance(row, ExportRow) for row in found[1:])
    assert [row.line for row in found] == list(range(2, 53))


def test_a_quote_that_closes_far_below_swallows_nothing_in_between() -> None:
    opening, closing = '2026-01-15 08:30:00,d,"http://a.example/open,1,PR002\r\n', 'x",y\r\n'
    found = rows(HEADER + opening + ROW * 20 + closing)
    assert [row.line for row in found if isinstance(row, RejectedRow)] == [2, 23]
    assert len(found) == 22


@pytest.mark.parametrize("text", ["", "\r\n\r\n", HEADER, "\ufeff" + HEADER])
def test_a_file_without_rows_has_none(text: str) -> None:
    assert rows(text) == []


def test_the_last_line_may_end_without_a_line_break() -> None:
    assert only((HEADER + ROW).removesuffix("\r\n")).reason == "PR002"


def test_unknown_reason_codes_are_kept() -> None:
    assert only(ROW.replace("PR002", "PR999")).reason == "PR999"
    assert reason_in_words("PR999") == ("PR999", "other")


# --- encodings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize("header", [HEADER, ""])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(b"", "utf-8"), (b"\xef\xbb\xbf", "utf-8"), (b"", "gb18030"), (b"\x84\x31\x95\x33", "gb18030")],
)
def test_utf8_and_gb18030_are_told_apart_by_their_bytes(mark: bytes, encoding: str, header: str, size: int) -> None:
    (row,) = rows(mark + (header + CHINESE).encode(encoding), size)
    assert isinstance(row, ExportRow)
    assert row.url == "http://www.example.com/图片/违规.jpg"
    assert row.canonical == "http://www.example.com/%E5%9B%BE%E7%89%87/%E8%BF%9D%E8%A7%84.jpg"


def test_gb18030_that_begins_after_much_ascii_is_still_found_out() -> None:
    data = (HEADER + ROW * 3_000 + CHINESE).encode("gb18030")
    last = rows(data)[-1]
    assert isinstance(last, ExportRow)
    assert "违规" in last.url


def test_a_gb18030_word_that_is_utf8_by_chance_is_read_by_the_company_it_keeps() -> None:
    chance = CHINESE.replace("图片/违规", "模")
    assert chance.encode("gb18030").decode("utf-8") != chance
    first, _ = rows((chance + CHINESE).encode("gb18030"))
    assert isinstance(first, ExportRow)
    assert first.url == "http://www.example.com/模.jpg"


def test_one_broken_line_in_a_utf8_file_is_rejected_and_does_not_change_the_encoding() -> None:
    broken = CHINESE.encode().replace("违".encode(), b"\xff\xfe", 1)
    found = rows(HEADER.encode() + CHINESE.encode() + broken + CHINESE.encode())
    assert [type(row) for row in found] == [ExportRow, RejectedRow, ExportRow]
    assert isinstance(found[1], RejectedRow)
    assert found[1].reason == "the line is not valid UTF-8"


# --- times -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-15 08:30:00", "2026-01-15T00:30:00"),  # A time without a zone is in UTC+8.
        ("2026-01-15T08:30:00", "2026-01-15T00:30:00"),
        ("2026-01-15 08:30", "2026-01-15T00:30:00"),
        ("2026/1/5 8:30", "2026-01-05T00:30:00"),
        ("2026-01-15", "2026-01-14T16:00:00"),
        ("2026-01-15T08:30:00Z", "2026-01-15T08:30:00"),
        ("2026-01-15T08:30:00.250+09:00", "2026-01-14T23:30:00.250"),
        ("1768465800", "2026-01-15T08:30:00"),
        ("1768465800250", "2026-01-15T08:30:00.250"),
    ],
)
def test_a_time_is_read_in_each_of_its_plausible_shapes(text: str, moment: str) -> None:
    assert only(row_of(time=text)).blocked_at == datetime.fromisoformat(moment).replace(tzinfo=UTC)


def test_a_missing_time_is_none_and_the_row_stays() -> None:
    assert only(row_of(time="")).blocked_at is None


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01 00:00:00", "0001-01-01 00:00:00", "12345"])
def test_a_time_that_makes_no_sense_rejects_its_row(text: str) -> None:
    assert rejected(row_of(time=text)).reason.startswith("gmt_created is not a time")


# --- URLs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("www.example.com/a.jpg", "http://www.example.com/a.jpg"),
        ("www.example.com:8080/a.jpg", "http://www.example.com:8080/a.jpg"),
        ("//www.example.com/a.jpg", "http://www.example.com/a.jpg"),
        ("/a.jpg", "http://www.example.com/a.jpg"),
        ("HTTPS://WWW.Example.COM", "https://www.example.com/"),
        ("www.example.com/r?u=http://b.example/", "http://www.example.com/r?u=http://b.example/"),
    ],
)
def test_a_url_is_kept_as_it_is_and_understood_beside_it(url: str, canonical: str) -> None:
    row = only(row_of(url=url))
    assert (row.url, row.canonical) == (url, canonical)


@pytest.mark.parametrize("url", ["", "ftp://a.example/", "http://", "http://a b/", "http://[::1"])
def test_a_url_that_is_none_rejects_its_row(url: str) -> None:
    assert rejected(row_of(url=url)).reason.startswith("punish_url")


def test_a_path_without_a_domain_is_no_url() -> None:
    assert "punish_domain is empty" in rejected(row_of(domain="", url="/a.jpg")).reason


# --- bad rows --------------------------------------------------------------------------------------------


def test_bad_rows_are_set_aside_with_their_line_and_reason_and_stop_nothing() -> None:
    found = rows(HEADER + ROW + "one,two\r\n" + ROW + "a,b,c,d,e,f\r\n" + "\x00\r\n" + ROW)
    bad = [row for row in found if isinstance(row, RejectedRow)]
    assert [(row.line, row.raw) for row in bad] == [(3, "one,two"), (5, "a,b,c,d,e,f"), (6, "\x00")]
    assert bad[0].reason.startswith("2 columns where 5 are expected")
    assert len(found) == 6


def test_the_text_of_a_bad_row_is_kept_up_to_a_limit() -> None:
    assert len(rejected("x" * 10_000).raw) == MAX_RAW


def test_a_line_without_an_end_is_rejected_and_held_in_no_memory() -> None:
    def endless() -> Iterator[bytes]:
        yield HEADER.encode()
        for _ in range(400):
            yield b"x" * 65_536
        yield b"\r\n" + ROW.encode()

    tracemalloc.start()
    found = list(read_rows(endless()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [type(row) for row in found] == [RejectedRow, ExportRow]
    assert f"longer than {MAX_LINE} bytes" in getattr(found[0], "reason", "")
    assert peak < 4_000_000


def test_memory_stays_flat_over_a_long_file() -> None:
    block = (ROW * 500).encode()
    tracemalloc.start()
    count = sum(1 for _ in read_rows(block for _ in range(40)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 2_000_000


@given(st.binary(max_size=2_000), st.integers(1, 300))
def test_whatever_the_bytes_are_they_become_rows_or_rejects(data: bytes, size: int) -> None:
    whole, pieces = rows(data), rows(data, size)
    assert whole == pieces  # The sizes of the blocks change nothing.
    numbers = [row.line for row in whole]
    assert numbers == sorted(set(numbers))


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20), max_size=5)
)
def test_quoting_by_the_book_is_undone(cells: list[str]) -> None:
    cells = (cells + [""] * 5)[:5]
    cells[0], cells[2] = "", "http://a.example/"
    text = HEADER + ",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\r\n"
    row = only("\ufeff" + text)
    assert (row.domain, row.account, row.reason) == (cells[1].strip(), cells[3].strip(), cells[4].strip())


# --- the calendar ----------------------------------------------------------------------------------------


def test_days_end_at_midnight_in_china() -> None:
    before = datetime(2026, 1, 15, 15, 59, 59, tzinfo=UTC)
    assert CALENDAR.finished_days(before)[-1] == date(2026, 1, 14)
    assert CALENDAR.finished_days(before + timedelta(seconds=1))[-1] == date(2026, 1, 15)
    assert len(CALENDAR.finished_days(before)) == 31


def test_a_day_begins_at_midnight_in_china_as_in_the_vendors_own_example() -> None:
    assert CALENDAR.start_of(date(2019, 10, 1)).isoformat() == "2019-09-30T16:00:00+00:00"


# --- reasons -----------------------------------------------------------------------------------------------


def test_every_documented_reason_has_words_and_a_category() -> None:
    assert len(REASONS) == 19
    assert all(words and category.isidentifier() for words, category in REASONS.values())
    assert reason_in_words(" pr102 ") == ("phishing", "phishing")
