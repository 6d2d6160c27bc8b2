"""The fakes refuse a function every action that its policy does not allow on AWS."""

from __future__ import annotations

import ast
import json

import pytest
from botocore.exceptions import ClientError

from chalicelib.ports import Put
from dev.fakes import rights
from dev.fakes.rows import MemoryRows
from dev.fakes.world import World, pages
from dev.fakes.wrappers import Meanwhile
from dev.package import ROOT, without_row_conditions
from dev.policies import POLICIES, Allowed, Use, allowed_by, allowed_to, functions, logical_name


@pytest.mark.parametrize("file", rights.ENTRIES)
def test_every_entry_is_where_it_is_looked_for(file: str) -> None:
    tree = ast.parse((ROOT / "chalicelib" / file).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert rights.ENTRIES[file].keys() - {"*"} <= names
    assert {*rights.ENTRIES[file].values()} <= {*functions()}


def test_every_function_with_a_policy_has_an_entry() -> None:
    assert {function for names in rights.ENTRIES.values() for function in names.values()} == {*functions()}


def test_what_a_policy_lacks_is_refused_and_what_it_allows_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.queue({"urls": pages(3)})
    lacking = [each for each in allowed_to("intake_reports") if each.action != "dynamodb:PartiQLInsert"]
    monkeypatch.setattr(rights, "_allowed_to", lambda _: lacking)
    monkeypatch.setattr(rights, "USES", {"intake_reports": set()})
    with pytest.raises(ClientError, match="intake_reports does not allow dynamodb:PartiQLInsert on Ledger"):
        world.intake()
    assert Use("dynamodb:BatchGetItem", "Ledger", "url#") in rights.USES["intake_reports"]


def test_what_a_test_does_by_itself_is_held_against_no_policy() -> None:
    MemoryRows().write([Put({"pk": "anything", "sk": "at all"})])
    assert not rights.function_at_work()


def test_what_happens_in_the_middle_of_a_function_is_not_what_that_function_does() -> None:
    """A submitter that a test runs inside an intake has a role of its own."""
    seen: list[str] = []
    rows = MemoryRows()
    rows.note = lambda *_, **__: seen.append(rights.function_at_work())
    submitter = World(rows=rows)
    intake = World(rows=Meanwhile(rows, "get", submitter.drain), clock=submitter.clock)
    intake.queue({"urls": pages(1)})
    intake.intake()
    assert {*seen} == {"intake_reports", "submit_tasks"}


def policies(function: str) -> dict[str, list[Allowed]]:
    """Return what a function's policy allows, with its conditions on rows and without those on PartiQL."""
    document = json.loads((POLICIES / f"{function}.json").read_text())
    documents = {"with": document, "without": without_row_conditions(document)}
    return {name: list(allowed_by(function, each, logical_name)) for name, each in documents.items()}


@pytest.mark.parametrize("conditions", ["with", "without"])
def test_the_outer_door_works_with_the_conditions_on_rows_and_without_them(
    monkeypatch: pytest.MonkeyPatch, conditions: str
) -> None:
    """Without them, only a function that an attacker controls can do more."""
    allowed = policies("receive_report")[conditions]
    monkeypatch.setattr(rights, "_allowed_to", lambda _: allowed)
    monkeypatch.setattr(rights, "USES", {"receive_report": set()})
    world = World()
    assert world.post({"urls": pages(3), "correlation_id": "c-1"}).accepted == 3
    assert Use("dynamodb:PartiQLInsert", "Ledger", "report#") in rights.USES["receive_report"]
    claims_a_url = Use("dynamodb:PartiQLInsert", "Ledger", "url#")
    assert any(each.allows(claims_a_url) for each in allowed) == (conditions == "without")


def test_a_condition_on_rows_that_partiql_does_not_write_stays() -> None:
    assert policies("deliver_outcomes")["with"] == policies("deliver_outcomes")["without"]
