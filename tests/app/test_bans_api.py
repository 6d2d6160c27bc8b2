"""``GET /v1/bans`` and its counts."""

from __future__ import annotations

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
    ):
        refused(api.as_operator("bans", **asked), 400, "bad_request", words)
    refused(api.as_operator("bans/counts", by="colour"), 400, "bad_request", "by must be one of")
