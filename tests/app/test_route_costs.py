"""Each question costs the read units that the table of docs/cost.md says, and writes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chalicelib.pipeline.answers.ban_index import index_bans
from dev.described import operations
from dev.fakes.api import TOKEN, Api
from dev.fakes.world import pages
from dev.package import ROOT

BANS = 200
ROOT_URL = "https://www.example.com/"
ROWS = re.findall(r"^\| `GET (/v1/\S+?)(\?\S+)?` \| ([\d.]+) \|", (ROOT / "docs" / "cost.md").read_text(), re.MULTILINE)
COSTS = {(path, query): float(units) for path, query, units in ROWS}
WITHOUT_ROWS = {"/v1/openapi.json"}


@pytest.fixture
def used(api: Api) -> tuple[Api, dict[str, str]]:
    """Return an API whose stage has banned, held and unbanned and has a new index; and the ids to ask for."""
    world = api.world
    world.clock.advance(minutes=-40)
    report = api.post({"urls": [*pages(BANS), ROOT_URL], "correlation_id": "case-1"}).json_body["report_id"]
    api.settle()
    day = f"{world.clock():%Y-%m-%d}"
    world.clock.advance(minutes=15)
    index_bans(world.run(), api.services.bans)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    (hold,) = api.get("holds", bearer).json_body["holds"]
    (task,) = api.get("tasks", bearer, day=day).json_body["tasks"]
    names = {"source}": report, "hold_id}": hold["hold_id"], "task_id}": task["task_id"], "unban_id}": "u-20260115T0"}
    return api, {"DAY": day, **{f"{{{name}": value for name, value in names.items()}}


def units(api: Api, path: str, query: str) -> float:
    rows: Any = api.world.rows
    before = dict(rows.units)
    asked = dict(part.split("=") for part in query.removeprefix("?").split("&") if part)
    answer = api.get(path.removeprefix("/v1/"), {"Authorization": f"Bearer {TOKEN}"}, **asked)
    assert answer.status_code in {200, 404}, answer.json_body
    assert rows.units["written"] == before.get("written", 0), "a question writes nothing"
    return float(rows.units["halves read"] - before.get("halves read", 0)) / 2


def test_every_question_has_its_cost_in_the_document() -> None:
    asked = {path for path, method in operations() if method == "get"} - WITHOUT_ROWS
    assert {path for path, _ in COSTS} == asked


def test_no_question_costs_more_than_the_document_says(used: tuple[Api, dict[str, str]]) -> None:
    api, names = used
    counted = {}
    for path, query in COSTS:
        concrete = path
        for template, name in names.items():
            concrete = concrete.replace(template, name)
        asked = query.replace("DAY", names["DAY"]).replace("URL", pages(1)[0])
        counted[path, query] = units(api, concrete, asked)
        print(f"| `GET {path}{query}` | {counted[path, query]} |")
    wrong = {asked: cost for asked, cost in counted.items() if not COSTS[asked] / 2 - 3 <= cost <= COSTS[asked]}
    assert not wrong, "too dear, or so cheap that the document is wrong"


def test_a_list_of_bans_costs_the_same_however_many_there_are(used: tuple[Api, dict[str, str]]) -> None:
    api, _ = used
    few = units(api, "/v1/bans", "?limit=10")
    assert few == units(api, "/v1/bans", "?q=page&limit=1000") == units(api, "/v1/bans/counts", "?by=host")
    assert few <= 5
