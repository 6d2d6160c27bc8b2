"""Files are cut into reports, and nothing is lost or torn."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeban import splitting

LINES = [f"https://www.example.com/{number}" for number in range(25)]


def test_lines_are_cut_between_lines() -> None:
    parts = splitting.split("\n".join(LINES).encode(), "text/uri-list", most=10)
    assert [part.decode().split() for part in parts] == [LINES[:10], LINES[10:20], LINES[20:]]


@given(st.lists(st.text("ab/\\\n", max_size=8), min_size=1), st.integers(1, 5))
def test_no_line_is_lost(lines: list[str], most: int) -> None:
    body = "\n".join(lines).encode()
    parts = splitting.split(body, "text/uri-list", most=most)
    joined = [line for part in parts for line in part.split(b"\n") if line.strip()]
    assert joined == [line for line in body.split(b"\n") if line.strip()]


def test_csv_repeats_its_header_and_its_comments() -> None:
    body = "# a feed\nid,url\n" + "".join(f"{n},{url}\n" for n, url in enumerate(LINES))
    parts = splitting.split(body.encode(), "text/csv", most=10)
    assert all(part.startswith(b"# a feed\nid,url\n") for part in parts)
    assert [part.count(b"https://") for part in parts] == [10, 10, 5]


def test_csv_without_a_header_repeats_nothing() -> None:
    parts = splitting.split("\n".join(LINES).encode(), "text/csv", most=10)
    assert b"".join(parts).count(b"https://") == 25


@given(st.lists(st.tuples(st.text('a,"\n', max_size=6), st.just("https://x.test/")), min_size=1), st.integers(1, 3))
def test_a_quoted_line_end_is_no_cut(rows: list[tuple[str, str]], most: int) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("note", "url"), *rows])
    parts = splitting.split(written.getvalue().encode(), "text/csv", most=most)
    read = [tuple(row) for part in parts for row in list(csv.reader(io.StringIO(part.decode())))[1:]]
    assert read == rows


@pytest.mark.parametrize("wrap", [lambda urls: urls, lambda urls: {"urls": urls, "category": "phishing"}])
def test_json_is_cut_between_items(wrap: object) -> None:
    document = wrap(LINES)  # type: ignore[operator]
    parts = [json.loads(part) for part in splitting.split(json.dumps(document).encode(), "application/json", most=10)]
    urls = [part["urls"] if isinstance(part, dict) else part for part in parts]
    assert [url for part in urls for url in part] == LINES
    assert [len(part) for part in urls] == [10, 10, 5]
    assert all(part == {"urls": part["urls"], "category": "phishing"} for part in parts if isinstance(part, dict))


def test_a_part_stays_below_the_size() -> None:
    parts = splitting.split("\n".join(LINES).encode(), "text/uri-list", size=100)
    assert max(map(len, parts)) <= 100
    assert b"".join(parts).count(b"https://") == 25


@pytest.mark.parametrize("body", [b"{", b'"text"', b'{"other": []}', b"[]"])
def test_json_that_is_no_list_stays_as_it_is(body: bytes) -> None:
    assert splitting.split(body, "application/json") == [body]


def test_a_mail_stays_whole() -> None:
    body = b"From: a\n\n" + b"x\n" * 20_000
    assert splitting.split(body, "message/rfc822") == [body]


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("feed.csv", b"", "text/csv"),
        ("feed.CSV.gz", b"", "text/csv"),
        ("mail.eml", b"", "message/rfc822"),
        ("-", b" [1]", "application/json"),
        ("-", b"https://x.test/", "text/uri-list"),
    ],
)
def test_a_files_name_or_first_sign_tells_its_type(name: str, body: bytes, content_type: str) -> None:
    assert splitting.content_type_of(name, body) == content_type
