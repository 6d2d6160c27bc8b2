"""Compressed bodies are unpacked within the limits, or refused with the reason."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import pytest

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.reports import ParserOptions, parse
from chalicelib.reports.compression import unpacked

OPTIONS = ParserOptions()
BODY = b'{"urls":["https://www.example.com/a"]}'


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("report.json", content)
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["", "gzip", "GZIP ", "x-gzip", "identity"])
def test_gzip_is_unpacked_with_and_without_its_header(encoding: str) -> None:
    options = ParserOptions(content_encoding=encoding)
    assert unpacked(gzip.compress(BODY), options) == BODY
    assert unpacked(BODY, options) == BODY, "a gateway may have unpacked it before"
    assert len(parse(gzip.compress(BODY), "native", options).urls) == 1


def test_all_members_of_a_gzip_file_are_unpacked_and_filling_is_left_out() -> None:
    assert unpacked(gzip.compress(b"a\n") + gzip.compress(b"b\n") + bytes(100), OPTIONS) == b"a\nb\n"


@pytest.mark.parametrize("body", [gzip.compress(BODY)[:-9], gzip.compress(BODY)[:12], b"\x1f\x8b"])
def test_gzip_that_ends_too_early_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableReport, match="ends too early"):
        unpacked(body, OPTIONS)


@pytest.mark.parametrize(
    "body", [b"\x1f\x8bxxxxxxxxxxx", gzip.compress(BODY)[:-8] + bytes(8), gzip.compress(BODY) + b"x" * 20]
)
def test_gzip_that_is_damaged_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableReport, match="damaged"):
        unpacked(body, OPTIONS)


def test_a_bomb_is_unpacked_up_to_the_limit_alone() -> None:
    options = ParserOptions(max_bytes=1_000)
    assert unpacked(gzip.compress(b"a" * 1_000), options) == b"a" * 1_000
    for bomb in (gzip.compress(b"a" * 1_001), gzip.compress(b"a" * 600) * 2, gzip.compress(bytes(50_000_000))):
        with pytest.raises(TooLarge, match="more than 1,000 bytes when it is unpacked"):
            unpacked(bomb, options)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (zipped(BODY), "a ZIP archive"),
        (bz2.compress(BODY), "bzip2"),
        (lzma.compress(BODY), "xz"),
        (b"\x28\xb5\x2f\xfdx", "zstd"),
    ],
)
def test_other_packing_is_named(body: bytes, name: str) -> None:
    with pytest.raises(UnreadableReport, match=f"the body is {name}"):
        unpacked(body, OPTIONS)


def test_an_encoding_that_is_not_read_is_named() -> None:
    with pytest.raises(UnreadableReport, match="the Content-Encoding 'br' is not read: send gzip"):
        unpacked(b"\x0b\x02\x80", ParserOptions(content_encoding="br"))
