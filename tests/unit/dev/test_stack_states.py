"""A deployment can go on in some states of the stack; in the others the preflight names the remedy."""

from __future__ import annotations

import boto3
import pytest

from dev.preflight import NOT_CREATED, REMEDIES, stack_problem

UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
IMPORTED = {"IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_FAILED", "DELETE_COMPLETE"}
"""States that cannot occur: edgeban imports no resources, and a deleted stack is not found by its name."""


def states() -> set[str]:
    """Return every state that CloudFormation's own model names."""
    client = boto3.client("cloudformation", region_name="us-east-1")
    return set(client.meta.service_model.shape_for("StackStatus").metadata["enum"]) - IMPORTED


@pytest.mark.parametrize("state", [*sorted(UPDATABLE), *NOT_CREATED])
def test_a_stack_that_can_be_deployed_is_no_problem(state: str) -> None:
    assert stack_problem("edgeban-prod", state) == ""


def test_every_other_state_is_named_with_the_way_out_of_it() -> None:
    others = {state for state in states() if not state.startswith("IMPORT_")} - UPDATABLE - set(NOT_CREATED)
    assert set(REMEDIES) <= others
    for state in others:
        problem = stack_problem("edgeban-prod", state)
        assert state in problem
        assert (
            "wait" in problem if state.endswith("_IN_PROGRESS") else f"aws cloudformation {REMEDIES[state]}" in problem
        )


@pytest.mark.parametrize("command", sorted(set(REMEDIES.values())))
def test_every_remedy_is_a_call_of_cloudformation(command: str) -> None:
    assert hasattr(boto3.client("cloudformation", region_name="us-east-1"), command.replace("-", "_"))
