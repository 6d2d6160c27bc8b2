"""The time that a reader takes grows with its input, and not with the square of it (I12).

Each kind of input once took a quadratic or worse time in some reader. The test reads it at one size and at eight times
that size, and compares the ratio of the times with linear growth, with room for a busy machine.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Callable

import pytest

from chalicelib.domain.errors import InputError, UnusableUrl
from chalicelib.domain.link_wrappers import unwrap_link
from chalicelib.domain.urls import canonical_url
from chalicelib.reports import ParserOptions, parse
from chalicelib.reports.envelope import unwrap
from chalicelib.reports.reading import says_harmless
from chalicelib.vendors.alibaba.export_rows import read_rows

TIMES = 8
SLACK = 5.0
"""Factor by which a busy machine may exceed linear growth: quadratic growth exceeds it by eight."""

FLOOR = 0.004
"""Seconds below which a run is too short to compare."""

OPTIONS = ParserOptions(defanged=True, html_escaped=True, unwrap_links=True)
MULTIPART = b"Content-Type: multipart/mixed; boundary=b\n\n"


def indicators(pattern: Callable[[int], str]) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        return json.dumps({"type": "indicator", "id": "i", "pattern": f"url:value {pattern(size)}"}).encode()

    return make


def keys(size: int) -> str:
    return ",".join(f'"k{number}":1' for number in range(size))


def nested_multiparts(size: int) -> bytes:
    """Return eight nested multiparts, with the rest of the body in the innermost: each line meets eight boundaries."""
    heads = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(7))
    return heads + b"\n" + b"--b\n" * size


READERS: dict[str, tuple[str, Callable[[int], bytes], int]] = {
    "a key twice, late": ("native", lambda n: f'{{"urls":[{{{keys(n)},"k{n - 1}":1}}]}}'.encode(), 12_000),
    "many lists of values": ("stix", indicators(lambda n: "a:b IN(1)OR " * n), 3_000),
    "one long list of values": ("stix", indicators(lambda n: "[a:b IN (" + "1," * n), 8_000),
    "open brackets": ("stix", indicators(lambda n: "(" * n), 10_000),
    "a long path": ("stix", indicators(lambda n: "[a:b" + "[0]" * n), 10_000),
    "open quotes of a pattern": ("stix", indicators(lambda n: "[url:value = '" + "\\\\" * n), 50_000),
    "versions of one indicator": (
        "stix",
        lambda n: json.dumps([{"type": "indicator", "id": "i", "modified": "2026-01-01T00:00:00Z"}] * n).encode(),
        1_500,
    ),
    "versions of one attribute": (
        "misp",
        lambda n: json.dumps([{"type": "url", "value": "a", "uuid": "u"}] * n).encode(),
        1_500,
    ),
    "lines that open a quotation mark": ("urlhaus", lambda n: b'a,"b\n' * n, 1_000),
    "lines that open and close one": ("urlhaus", lambda n: b'a,"b\nc",d\n' * n, 1_000),
    "empty lines": ("tweetfeed", lambda n: b"\n" * n, 70_000),
    "rows of a wrong width": ("urlhaus", lambda n: b"url,dateadded\n" + b"a\n" * n, 3_000),
    "a line of many URLs": ("plain", lambda n: b"https://a " * n, 3_000),
    "lines": ("plain", lambda n: b"hxxp://a[.]b&amp;\n" * n, 1_000),
    "a long content type": (
        "feedback-mail",
        lambda n: b"Content-Type: multipart/report; " + b"a=b; " * n + b"\n\n",
        30_000,
    ),
    "a content type of many continuations": (
        "feedback-mail",
        lambda n: b"Content-Type: multipart/report; " + b"".join(b"boundary*%d=x; " % i for i in range(n)) + b"\n\n",
        10_000,
    ),
    "a long sender": ("feedback-mail", lambda n: b"From: " + b"<(" * n + b"\nFeedback-Type: abuse\n\n", 40_000),
    "a long encoded word": (
        "feedback-mail",
        lambda n: b"Feedback-Type: abuse\nReported-URI: " + b"=?utf-8?q?a?= " * n + b"\n\n",
        3_000,
    ),
    "many headers": ("feedback-mail", lambda n: b"a: b\n" * n + b"Feedback-Type: abuse\n\n", 3_000),
    "many folds": ("feedback-mail", lambda n: b"Feedback-Type: abuse\nReported-URI: a" + b"\n b" * n + b"\n\n", 5_000),
    "many URIs": ("feedback-mail", lambda n: b"Feedback-Type: abuse\n" + b"Reported-URI: a\n" * n + b"\n", 500),
    "parts with long headers": (
        "feedback-mail",
        lambda n: MULTIPART + (b"--b\nContent-Type: multipart/x; " + b"a*0=b; " * 300 + b"\n\n") * (n // 10),
        100,
    ),
    "nested multiparts": ("feedback-mail", nested_multiparts, 8_000),
    "lines of a mail": ("feedback-mail", lambda n: b"Feedback-Type: abuse\n\n" + b"ab\n" * n, 20_000),
    "base64 of a mail": (
        "feedback-mail",
        lambda n: b"Content-Type: message/feedback-report\nContent-Transfer-Encoding: base64\n\n" + b"QUFBQUFB\n" * n,
        10_000,
    ),
    "a part in Python's punycode": (
        "feedback-mail",
        lambda n: b"Content-Type: message/feedback-report; charset=punycode\n\nFeedback-Type: abuse-" + b"a" * n,
        40_000,
    ),
    "encoded words in Python's punycode": (
        "feedback-mail",
        lambda n: b"Feedback-Type: abuse\nReported-URI: =?punycode?q?a-" + b"a" * n + b"?=\n\n",
        12_000,
    ),
    "lines in front of a mail": ("feedback-mail", lambda n: b">From a\n" * n + b"Feedback-Type: abuse\n\n", 3_000),
    "comments of a type": ("feedback-mail", lambda n: b"Feedback-Type: " + b"(" * n + b"\n\n", 5_000),
    "tags of attributes": (
        "misp",
        lambda n: json.dumps([{"type": "url", "value": "a", "Tag": [{"name": "a:" * 40}] * 9}] * n).encode(),
        300,
    ),
    "words of XARF": (
        "xarf",
        lambda n: json.dumps(
            {"xarf_version": "4.2.0", "category": "content", "type": "fraud", "tags": ["a"] * n}
        ).encode(),
        3_000,
    ),
    "rows of PhishTank": (
        "phishtank",
        lambda n: b"url,submission_time,verified\n" + b"http://a/&amp;,x,yes\n" * n,
        500,
    ),
    "entries of phishunt": ("phishunt", lambda n: json.dumps([{"url": "http://a/", "company": "a"}] * n).encode(), 500),
    "members of a gzip file": ("plain", lambda n: gzip.compress(b"") * n, 5_000),
    "lines of a submitted report": (
        "cloudflare",
        lambda n: json.dumps({"act": "abuse_phishing", "urls": "a\n" * n}).encode(),
        1_000,
    ),
}


EXPORTS: dict[str, Callable[[int], bytes]] = {
    "short rows": lambda n: b"ab\n" * n,
    "empty lines": lambda n: b"\n" * (20 * n),
    "a row that never ends": lambda n: b"a" * (200 * n),
    "rows that open a quotation mark": lambda n: b'a,"b\n' * n,
    "quotation marks": lambda n: b'"' + b'""' * (20 * n),
    "URLs of many dots": lambda n: b"1,a," + b"http://a/" + b"%2e%2e/" * n,
}


def seconds(read: Callable[[bytes], object], body: bytes) -> float:
    best = 1e9
    for _ in range(5):
        started = time.process_time()
        with contextlib.suppress(InputError, UnusableUrl):
            read(body)
        best = min(best, time.process_time() - started)
    return best


def held(read: Callable[[bytes], object], make: Callable[[int], bytes], size: int) -> None:
    once, more = seconds(read, make(size)), seconds(read, make(TIMES * size))
    assert more < TIMES * SLACK * max(once, FLOOR), f"{once:.4f} s, then {more:.4f} s for {TIMES} times as much"


@pytest.mark.parametrize("kind", READERS)
def test_every_format_takes_a_time_that_grows_with_its_body(kind: str) -> None:
    format_name, make, size = READERS[kind]
    held(lambda body: parse(body, format_name, OPTIONS), make, size)


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_export_takes_a_time_that_grows_with_its_file(kind: str) -> None:
    held(
        lambda body: sum(1 for _ in read_rows(body[at : at + 4_096] for at in range(0, len(body), 4_096))),
        EXPORTS[kind],
        2_000,
    )


@pytest.mark.parametrize("piece", ["false-positive:", "=", '"', "_", "\u200b"])
def test_the_tags_of_a_source_take_a_time_that_grows_with_them(piece: str) -> None:
    held(lambda body: says_harmless(json.loads(body)), lambda n: json.dumps([piece * 100] * n).encode(), 200)


@pytest.mark.parametrize("piece", ["*", "**A", "a*", "__;", "___https://", "/", "%2f", "&u=", "="])
@pytest.mark.parametrize(
    "wrapper", ["urldefense.com/v3/__https://a", "protect.checkpoint.com/v2/", "secure-web.cisco.com/"]
)
def test_a_wrapped_link_takes_a_time_that_grows_with_its_length(wrapper: str, piece: str) -> None:
    """A link of more than 16,384 characters is left wrapped."""
    held(
        lambda body: unwrap_link(body.decode()),
        lambda n: f"https://{wrapper}{piece * (n // len(piece))}".encode(),
        2_000,
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda n: f'{{"TopicArn":"a",{keys(n)},"k{n - 1}":1}}'.encode(),
        lambda n: b'{"Records":[' + b'{"eventSource":"aws:s3","eventName":"x"},' * n + b"0]}",
        lambda n: b'"TopicArn"' + b"{" * n,
    ],
)
def test_an_envelope_takes_a_time_that_grows_with_the_message(make: Callable[[int], bytes]) -> None:
    held(lambda body: unwrap(body.decode(), {}), make, 12_000)


@pytest.mark.parametrize("piece", [" ", "a ", "https://a", "(", "&amp;", "%2e%2e/", "\u200b", "ü", "[.]", "://", "@"])
def test_a_url_takes_a_time_that_grows_with_its_length(piece: str) -> None:
    """A URL of more than 65,536 characters is refused unread."""
    held(lambda body: canonical_url(body.decode()), lambda n: f"https://a/{piece * (n // len(piece))}".encode(), 8_000)
