"""``GET /v1/bans`` and its counts."""

from __future__ import annotations

import pytest

from dev.fakes.api import TOKEN, Api, refused
from dev.fakes.world import pages


def test_bans_are_listed_searched_counted_and_written_as_csv(api: Api) -> None:
    banned = [*pages(3), *pages(2, "login.example.net")]
    api.world.clock.advance(minutes=-10)  # what settles now is not stamped later than the question
    api.post({"urls": banned})
    api.settle()
    listed = api.as_operator("bans").json_body
    assert (listed["total"], {each["url"] for each in listed["bans"]}) == (5, set(banned))
    assert {each["url"] for each in api.as_operator("bans", q="LOGIN").json_body["bans"]} == set(banned[3:])
    counts = api.as_operator("bans/counts", by="host").json_body["counts"]
    assert counts == [{"value": "www.example.com", "bans": 3}, {"value": "login.example.net", "bans": 2}]
    answer = api.get("bans", {"Authorization": f"Bearer {TOKEN}", "Accept": "text/csv"}, limit="2")
    lines = answer.body.decode().splitlines()
    assert (lines[0].split(",")[:2], len(lines)) == (["url", "account"], 3)
    assert answer.headers["Edgeban-Next-Token"]


def test_the_list_of_bans_pages_in_each_order(api: Api) -> None:
    api.world.clock.advance(minutes=-10)
    api.post({"urls": pages(7)})
    api.settle()
    for sort in ("-at", "at", "until"):
        seen: list[str] = []
        token = ""
        while True:
            page = api.as_operator("bans", sort=sort, limit="2", next_token=token).json_body
            seen += [each["url"] for each in page["bans"]]
            token = page.get("next_token", "")
            if not token:
                break
        assert sorted(seen) == sorted(pages(7)), sort


def test_a_question_that_cannot_be_read_is_refused(api: Api) -> None:
    for asked, words in (
        ({"sort": "colour"}, "sort must be one of"),
        ({"since": "noon"}, "since must be a time"),
        ({"next_token": "x"}, "next_token must be"),
        ({"host": "*.example.com"}, "or .example.com for it and all below it"),
        ({"host": "https://www.example.com/"}, "host must be a host"),
        ({"host": "a..b"}, "host must be a host"),
        ({"q": "bücher"}, "write xn--… in a host"),
    ):
        refused(api.as_operator("bans", **asked), 400, "bad_request", words)
    refused(api.as_operator("bans/counts", by="colour"), 400, "bad_request", "by must be one of")


@pytest.mark.parametrize(
    "host", ["bücher.example.com", "XN--BCHER-KVA.example.com", ".bücher.example.com", ".EXAMPLE.com"]
)
def test_a_host_is_found_in_every_spelling_of_it(api: Api, host: str) -> None:
    api.world.clock.advance(minutes=-10)
    api.post({"urls": ["https://bücher.example.com/x"]})
    api.settle()
    assert api.as_operator("bans", host=host).json_body["total"] == 1


@pytest.mark.parametrize("path", ["tasks", "holds", "reports?of=desk", "callbacks?source=desk", "audit", "unbans"])
def test_the_token_of_another_list_is_refused_and_does_not_look_like_an_end(api: Api, path: str) -> None:
    api.world.clock.advance(minutes=-10)
    api.post({"urls": pages(3)})
    api.settle()
    token = api.as_operator("bans", limit="1").json_body["next_token"]
    name, _, asked = path.partition("?")
    answer = api.as_operator(name, next_token=token, **dict([asked.split("=")] if asked else []))
    refused(answer, 400, "bad_request", "next_token must be the one of the page before")


def test_a_source_that_nobody_knows_has_no_empty_list_of_reports(api: Api) -> None:
    refused(api.as_operator("reports", of="dsek"), 404, "not_found", "there is no source 'dsek'")


def test_a_span_that_ends_before_it_begins_is_named(api: Api) -> None:
    asked = {"from": "2026-11-28", "to": "2026-11-27"}
    refused(api.as_operator("stats", **asked), 400, "bad_request", "from must be earlier than to")
