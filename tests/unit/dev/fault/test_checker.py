"""The judge of a storm names an unban that did not last, and a ban that did not end."""

from __future__ import annotations

import pytest

from dev.fault.checker import Demand, Evidence, Limits, judge

LIMITS = Limits(urls=1_000, calls={"create": 10})
URL = "https://www.example.com/clean"
HOSTS = ["www.example.com"]


def claim(outcome: str) -> dict[str, object]:
    return {"pk": "url#k", "sk": "claim", "url": URL, "account": "main", "chunk": "c", "outcome": outcome}


@pytest.mark.parametrize(
    ("outcome", "banned", "reversed_unbans"),
    [
        ("unbanned", frozenset(), 0),
        ("unbanned", frozenset({URL}), 1),
        ("rejected", frozenset(), 1),
    ],
)
def test_an_unban_must_last_at_the_vendor_and_in_the_ledger(
    outcome: str, banned: frozenset[str], reversed_unbans: int
) -> None:
    evidence = Evidence(rows=[claim(outcome)], tasks=[], calls=[], banned=banned, limits=LIMITS)
    judgement = judge(evidence, Demand([URL], [URL], HOSTS, "main", [URL]))
    assert len(judgement.reversed) == reversed_unbans
    assert judgement.losses == []


@pytest.mark.parametrize(
    ("rule", "banned", "reversed_unbans"),
    [
        ("decided_before", frozenset(), 0),
        ("decided_before", frozenset({URL}), 1),
        ("bare_host", frozenset(), 1),
        ("", frozenset(), 1),
    ],
)
def test_an_unbanned_url_is_held_only_where_a_person_is_asked_again(
    rule: str, banned: frozenset[str], reversed_unbans: int
) -> None:
    work = {"pk": "account#main", "sk": "chunk#c", "state": "held", "action": "ban", "rule": rule}
    evidence = Evidence(rows=[claim(""), work], tasks=[], calls=[], banned=banned, limits=LIMITS)
    judgement = judge(evidence, Demand([URL], [URL], HOSTS, "main", [URL]))
    assert len(judgement.reversed) == reversed_unbans
    assert judgement.left == []


@pytest.mark.parametrize(
    ("outcome", "banned", "overstayed"),
    [
        ("expired", frozenset(), 0),
        ("unbanned", frozenset(), 0),
        ("expired", frozenset({URL}), 1),
        ("rejected", frozenset(), 1),
    ],
)
def test_a_ban_must_be_lifted_at_the_end_that_a_person_gave_it(
    outcome: str, banned: frozenset[str], overstayed: int
) -> None:
    evidence = Evidence(rows=[claim(outcome)], tasks=[], calls=[], banned=banned, limits=LIMITS)
    judgement = judge(evidence, Demand([URL], [URL], HOSTS, "main", ended=[URL]))
    assert len(judgement.overstayed) == overstayed
    assert judgement.losses == []


def test_the_calls_of_each_endpoint_are_held_to_the_vendors_own_rate() -> None:
    calls = [{"endpoint": "create", "time": number / 20, "status": 200, "fault": ""} for number in range(11)]
    evidence = Evidence(rows=[], tasks=[], calls=calls, banned=frozenset(), limits=LIMITS)
    assert len(judge(evidence, Demand([], [], HOSTS, "main")).crossings) == 1
    slower = Evidence(rows=[], tasks=[], calls=calls[::2], banned=frozenset(), limits=LIMITS)
    assert judge(slower, Demand([], [], HOSTS, "main")).crossings == []
