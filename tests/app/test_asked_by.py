"""Who decides about a hold sees who asks for its URLs by now, without opening it (I7)."""

from __future__ import annotations

import csv
from typing import Any

from chalicelib.config.policy import parse as parse_policy
from chalicelib.pipeline.decisions import asked_by
from dev.fakes.api import TOKEN, Api, fixed
from dev.fakes.rows import MemoryRows
from dev.fakes.world import POLICY, pages

URLS = pages(3)
REVIEW = {"desk": {"trust": "review"}, "queue": {"trust": "review"}}


def held(api: Api, urls: list[str] = URLS) -> None:
    """Let one source report URLs that wait for a person, and another join the first of them."""
    api.services._policy = fixed(parse_policy({**POLICY, "sources": REVIEW}))
    api.world.policy = parse_policy({**POLICY, "sources": REVIEW})
    api.world.queue({"urls": urls})
    api.settle()
    api.world.post({"urls": urls[:1]})
    api.settle()


def listed(api: Api) -> list[dict[str, Any]]:
    holds: list[dict[str, Any]] = api.as_operator("holds").json_body["holds"]
    return holds


def test_the_list_says_which_sources_ask_and_for_how_many_urls(api: Api) -> None:
    held(api)
    (hold,) = listed(api)
    assert hold["sources"] == [{"value": "queue", "urls": 3}]
    assert hold["asked_by"] == [{"value": "queue", "urls": 3}, {"value": "desk", "urls": 1}]
    assert (hold["asked_by_count"], hold["asked_of"]) == (2, 3)


def test_a_source_that_took_its_word_back_is_not_named(api: Api) -> None:
    held(api)
    api.world.queue({"withdrawn": [{"url": URLS[0]}]})
    api.settle()
    (hold,) = listed(api)
    assert hold["asked_by"] == [{"value": "queue", "urls": 2}, {"value": "desk", "urls": 1}]


def test_the_csv_of_holds_names_the_sources_that_ask(api: Api) -> None:
    held(api)
    answer = api.get("holds", {"Authorization": f"Bearer {TOKEN}", "Accept": "text/csv"})
    (line,) = csv.DictReader(answer.body.decode().splitlines())
    assert (line["asked_by"], line["asked_by_count"]) == ("queue 3; desk 1", "2")


def test_only_the_first_urls_of_a_large_hold_are_read_for_who_asks(api: Api) -> None:
    rows = api.world.rows
    assert isinstance(rows, MemoryRows)
    held(api, pages(asked_by.OF_A_HOLD + 30))
    before = rows.units["read"]
    (hold,) = listed(api)
    assert hold["asked_of"] == asked_by.OF_A_HOLD
    assert rows.units["read"] - before < asked_by.OF_A_HOLD
