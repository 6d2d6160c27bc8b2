"""The viewer function answers 403, run with node as it ships, for the keys that the client writes."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.urls import canonical_url
from chalicelib.vendors.cloudfrontkvs.client import LIMITS, key_of
from dev.fakes.node import NodeProgram, node_program

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "edge" / "cloudfront-function"
DRIVER = Path(__file__).with_name("cloudfront_function_driver.mjs")
URL = "https://www.example.com/login?id=1"
PIECES = (
    *("a", "Z", "0", "/", "//", "/.", "/..", "/%2e", "%2F", "%7e", "%zz", "?", "&", "=", "+", "'", '"', "|", "~", "!"),
    *("{", "}", "^", "`", "<", ">", "[", "]", "@", ":", ";", ",", "*", "é", "中", "😀", "-" * 300, "x" * 300, "%20"),
)


@pytest.fixture(scope="module")
def function() -> Iterator[NodeProgram]:
    if shutil.which("node") is None:
        pytest.skip("no node: the function of edge/cloudfront-function is not run; install Node.js 20 or later")
    with node_program(DRIVER, FOLDER / "function.js") as running:
        yield running


def test_a_banned_url_is_answered_with_403_that_nobody_stores(function: NodeProgram) -> None:
    answer = function.visit(URL, keys=[key_of(URL)])
    assert (answer["status"], answer["passed"]) == (403, False)
    assert answer["headers"]["cache-control"] == {"value": "no-store"}


@pytest.mark.parametrize(
    "other",
    [
        "http://www.example.com/login?id=1",
        "https://example.com/login?id=1",
        "https://www.example.com/login?id=2",
        "https://www.example.com/login?id=1&x",
        "https://www.example.com/login?id=%31",
        "https://www.example.com/login",
        "https://www.example.com/login?",
        "https://www.example.com/login/?id=1",
        "https://www.example.com/Login?id=1",
        "https://www.example.com//login?id=1",
        "https://www.example.com/",
    ],
)
def test_every_other_url_passes_unchanged(function: NodeProgram, other: str) -> None:
    answer = function.visit(other, keys=[key_of(URL)])
    assert (answer["status"], answer["passed"]) == (200, True)


def test_other_spellings_of_the_same_url_are_refused(function: NodeProgram) -> None:
    for same in ("https://WWW.EXAMPLE.com:443/login?id=1", "https://www.example.com/x/../login?id=1"):
        assert function.visit(same, keys=[key_of(URL)])["status"] == 403


def test_a_request_whose_scheme_is_not_told_counts_as_https(function: NodeProgram) -> None:
    assert function.visit("http://www.example.com/login?id=1", keys=[key_of(URL)], proto=False)["status"] == 403


def test_the_site_stays_up_while_the_store_cannot_be_read(function: NodeProgram) -> None:
    assert function.visit(URL, keys=[key_of(URL)], fails=True)["passed"] is True


def test_the_function_asks_for_the_keys_that_the_client_writes(function: NodeProgram) -> None:
    made_up = random.Random(17)
    compared = hashed = 0
    for _ in range(3_000):
        path = "".join(made_up.choices(PIECES, k=made_up.randrange(1, 40)))
        reported = f"{made_up.choice(('http', 'https'))}://{made_up.choice(('h.example', 'H.example'))}/{path}"
        try:
            banned = canonical_url(reported)
        except UnusableUrl:
            continue
        assert function.visit(reported)["key"] == key_of(banned), reported
        assert function.visit(banned)["key"] == key_of(banned), reported
        compared, hashed = compared + 1, hashed + key_of(banned).startswith("sha256:")
    assert compared > 1_000
    assert hashed > 50


def test_a_long_url_is_banned_by_its_hash_and_its_neighbour_is_not(function: NodeProgram) -> None:
    long, neighbour = (f"https://www.example.com/{'a' * 600}{end}" for end in "12")
    assert function.visit(long, keys=[key_of(long)])["status"] == 403
    assert function.visit(neighbour, keys=[key_of(long)])["status"] == 200


def test_the_function_fits_what_cloudfront_takes_and_the_template_names_the_calls_of_the_client() -> None:
    assert len((FOLDER / "function.js").read_bytes()) < 10 * 1024  # The quota of a function's code.
    template = json.loads((FOLDER / "template.json").read_text())
    config = template["Resources"]["BanFunction"]["Properties"]["FunctionConfig"]
    assert config["Runtime"] == "cloudfront-js-2.0"
    (policy,) = template["Resources"]["Writer"]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert {action.partition(":")[2] for action in statement["Action"]} == {
        "DescribeKeyValueStore",
        "UpdateKeys",
        "ListKeys",
        "GetKey",
    }
    assert f"LONGEST_KEY = {LIMITS.longest_key}" in (FOLDER / "function.js").read_text()
