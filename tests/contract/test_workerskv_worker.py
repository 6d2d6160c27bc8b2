"""The Worker answers 403, run with node as it ships, for the keys that the client writes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.urls import canonical_url
from chalicelib.vendors.workerskv.client import key_of
from dev.fakes.node import NodeProgram, node_program
from dev.simulators.workerskv_state import edge_key

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "edge" / "cloudflare-worker" / "worker.js"
DRIVER = Path(__file__).with_name("workerskv_worker_driver.mjs")
URL = "https://www.example.com/login?id=1"

REPORTED = (
    "https://www.example.com",
    "HTTP://WWW.Example.COM:80/A/b",
    "https://www.example.com:443/?",
    "https://www.example.com:8443/?a=b#fragment",
    "https://www.example.com/a/./b/../c//d/",
    "https://www.example.com/%7Euser/%2e%2E/%2f/x",
    "https://www.example.com/a%20b\\c|d^e`f{g}'h\"i",
    "https://www.example.com/?a%20b'c\"d|e^f`g{h}<i>",
    "https://www.example.com/中/é?q=ü&%zz=%",
    "https://bücher.example/ß",
    "https://xn--bcher-kva.example/%C3%9F",
    "http://[2001:DB8:0:0::1]/x",
    "http://0x7f.1/x",
    "https://www.example.com./trailing-dot",
    "https://www.example.com/;p=1,2?x=1;y=2&z=+%20",
    "https://www.example.com/😀?😀",
    "https:\\\\www.example.com\\back\\slashes",
    "https://www.example.com/?x=https://elsewhere.example/?y=1",
    "https://www.example.com/" + "a" * (512 - 24),
    "https://www.example.com/" + "a" * (513 - 24),
    "https://www.example.com/?" + "ü" * 600,
    "https://www.example.com/" + "b" * 8_000,
)
PIECES = (
    *("a", "Z", "0", "/", "//", ".", "..", "%2e", "%2F", "%7e", "%zz", "?", "&", "=", "+", " ", "'", '"', "\\", "|"),
    *("{", "}", "^", "`", "<", ">", "[", "]", "@", ":", ";", ",", "~", "!", "*", "é", "中", "😀", "-" * 300, "x" * 300),
)


@pytest.fixture(scope="module")
def worker() -> Iterator[NodeProgram]:
    if shutil.which("node") is None:
        pytest.skip("no node: the Worker of edge/cloudflare-worker is not run; install Node.js 20 or later")
    with node_program(DRIVER, WORKER) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_banned_url_is_answered_with_403_that_nobody_stores(worker: NodeProgram, method: str) -> None:
    answer = worker.visit(URL, method=method, keys=[key_of(URL)])

    assert (answer["status"], answer["passed"]) == (403, False)
    assert answer["headers"]["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "other",
    [
        "http://www.example.com/login?id=1",
        "https://example.com/login?id=1",
        "https://www.example.com:8443/login?id=1",
        "https://www.example.com/login?id=2",
        "https://www.example.com/login?id=1&x",
        "https://www.example.com/login?id=%31",
        "https://www.example.com/login",
        "https://www.example.com/login/?id=1",
        "https://www.example.com/Login?id=1",
        "https://www.example.com//login?id=1",
        "https://www.example.com/",
    ],
)
def test_every_other_url_passes_unchanged(worker: NodeProgram, other: str) -> None:
    answer = worker.visit(other, keys=[key_of(URL)])

    assert (answer["status"], answer["passed"]) == (200, True)


def test_a_visitor_with_another_spelling_of_the_same_url_is_refused(worker: NodeProgram) -> None:
    for same in ("https://WWW.EXAMPLE.com:443/login?id=1", "https://www.example.com/x/../login?id=1#top"):
        assert worker.visit(same, keys=[key_of(URL)])["status"] == 403


@pytest.mark.parametrize("fails", [True, "binding"])
def test_the_site_stays_up_while_the_namespace_cannot_be_read(worker: NodeProgram, fails: object) -> None:
    answer = worker.visit(URL, keys=[key_of(URL)], fails=fails)

    assert (answer["status"], answer["passed"]) == (200, True)


@pytest.mark.parametrize("reported", REPORTED)
def test_the_worker_asks_for_the_key_that_the_client_writes(worker: NodeProgram, reported: str) -> None:
    banned = canonical_url(reported)

    assert worker.visit(banned)["key"] == worker.visit(reported)["key"] == key_of(banned) == edge_key(banned)
    assert worker.visit(banned, keys=[key_of(banned)])["status"] == 403


def test_the_keys_are_the_same_for_many_made_up_urls(worker: NodeProgram) -> None:
    made_up = random.Random(16)
    compared = hashed = 0
    for _ in range(2_000):
        parts = made_up.choices(PIECES, k=made_up.randrange(1, 40))
        reported = f"{made_up.choice(('http', 'https'))}://{made_up.choice(('h.example', 'H.example:81'))}/" + "".join(
            parts
        )
        try:
            banned = canonical_url(reported)
        except UnusableUrl:
            continue
        assert worker.visit(reported)["key"] == key_of(banned), reported
        compared, hashed = compared + 1, hashed + key_of(banned).startswith("sha256:")
    assert compared > 500
    assert hashed > 10


def test_a_long_url_is_banned_by_its_hash_and_its_neighbour_is_not(worker: NodeProgram) -> None:
    long, neighbour = (f"https://www.example.com/{'a' * 600}{end}" for end in "12")
    assert key_of(long) == worker.visit(long)["key"] != key_of(neighbour)
    assert len(key_of(long)) == 71

    assert worker.visit(long, keys=[key_of(long)])["status"] == 403
    assert worker.visit(neighbour, keys=[key_of(long)])["status"] == 200


def test_the_longest_key_is_512_bytes() -> None:
    longest = REPORTED[-4]
    assert len(longest) == 512
    assert key_of(longest) == longest
    assert key_of(longest + "a").startswith("sha256:")
