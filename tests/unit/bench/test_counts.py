"""The counts behind docs/figures.md: units, requests and URLs a call. Times are never asserted."""

from __future__ import annotations

import json
from typing import Any

from bench.virtual import VirtualPipeline
from chalicelib.aws.dynamodb import Table
from chalicelib.ports import Insert

URLS = 3_000


def test_new_urls_cost_at_most_1_1_writes_and_go_in_full_calls_and_repeats_cost_one_write_a_batch() -> None:
    pipeline = VirtualPipeline([3], urls=1_000)
    measured = pipeline.run()
    assert measured.units["written"] <= 1.1 * URLS
    assert sum(measured.creates) / len(measured.creates) >= 950

    before = dict(pipeline.rows.units)
    pipeline._intake([_record(number) for number in range(3)])
    assert pipeline.rows.units["written"] == before["written"] + 1  # The counts of the batch by source are one row.
    assert (pipeline.rows.units["halves read"] - before["halves read"]) / 2 <= 0.6 * URLS


def _record(number: int) -> dict[str, Any]:
    named = [f"https://www.example.com/{number}/{each}" for each in range(1_000)]
    source = {"source": {"stringValue": "bench", "dataType": "String"}}
    return {"messageId": f"again{number}", "body": json.dumps({"urls": named}), "messageAttributes": source}


class CountingClient:
    """A DynamoDB that holds nothing and takes everything."""

    def __init__(self) -> None:
        self.requests: list[int] = []

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803, the name is boto3's
        self.requests.append(len(RequestItems["ledger"]["Keys"]))
        return {"Responses": {"ledger": []}}

    def batch_execute_statement(self, Statements: list[Any]) -> dict[str, Any]:  # noqa: N803
        self.requests.append(len(Statements))
        return {"Responses": [{} for _ in Statements]}


def test_a_thousand_urls_are_ten_requests_to_read_and_forty_to_claim() -> None:
    client = CountingClient()
    table = Table(client, "ledger")
    table.get([(f"url#{number}", "claim") for number in range(1_000)])
    assert client.requests == [100] * 10
    client.requests.clear()
    table.write([Insert({"pk": f"url#{number}", "sk": "claim"}) for number in range(1_000)])
    assert client.requests == [25] * 40
