"""The judge of a storm names an unban that did not last."""

from __future__ import annotations

import pytest

from dev.fault.checker import Demand, Evidence, judge

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
    evidence = Evidence(rows=[claim(outcome)], tasks=[], calls=[], banned=banned)
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
    evidence = Evidence(rows=[claim(""), work], tasks=[], calls=[], banned=banned)
    judgement = judge(evidence, Demand([URL], [URL], HOSTS, "main", [URL]))
    assert len(judgement.reversed) == reversed_unbans
    assert judgement.left == []
