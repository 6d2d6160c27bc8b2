"""Operators are found by their tokens, and a wrong entry is refused by its path."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from chalicelib.config.operators import ROLES, Operator, parse
from chalicelib.domain.errors import ConfigurationError, NotAuthenticated
from chalicelib.web import authenticate


def test_operators_with_one_person_are_one_person() -> None:
    document = {
        name: {"token_sha256": hashlib.sha256(name.encode()).hexdigest(), "role": "approver", **more}
        for name, more in {"ana": {}, "ana-cli": {"person": " Ana"}, "ben": {"person": "ben@corp"}}.items()
    }
    people = {operator.name: operator.person for operator in parse(document).values()}
    assert people == {"ana": "ana", "ana-cli": "ana", "ben": "ben@corp"}


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def entry(token: str = "token", role: str = "reader", **more: object) -> dict[str, Any]:
    return {"token_sha256": digest(token), "role": role, **more}


def test_each_role_allows_what_those_before_it_allow() -> None:
    for index, role in enumerate(ROLES):
        assert [Operator("anna", role).may(other) for other in ROLES] == [other <= index for other in range(len(ROLES))]


def test_an_operator_is_found_by_their_token() -> None:
    upper_case = {"token_sha256": digest("of ben").upper(), "role": "approver"}
    operators = parse({"anna": entry("of-anna"), "ben": upper_case})
    assert authenticate({"Authorization": "Bearer of-anna"}, operators) == Operator("anna", "reader", "anna")
    assert authenticate({"authorization": "bearer  of ben "}, operators) == Operator("ben", "approver", "ben")
    for header in ("Bearer of-carl", "Basic of-anna", "of-anna", "", f"Bearer {digest('of-anna')}"):
        with pytest.raises(NotAuthenticated):
            authenticate({"Authorization": header}, operators)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer \t", ""])
def test_an_empty_token_belongs_to_nobody(header: str) -> None:
    """Even a document with its hash lets nobody in: the hash is checked when it is loaded, the token at each use."""
    with pytest.raises(NotAuthenticated):
        authenticate({"Authorization": header}, {digest(""): Operator("anna", "approver")})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"anna": {"role": "reader"}}, "anna.token_sha256 is missing or null: write a string"),
        ({"anna": {**entry(), "token_sha256": "hunter2"}}, "anna.token_sha256 is no SHA-256: write the 64 hexadecimal"),
        ({"anna": {**entry(), "token_sha256": f"{digest('x')}\n"}}, "anna.token_sha256 is no SHA-256"),
        ({"anna": entry("")}, "anna.token_sha256 is the SHA-256 of an empty token: hash the token"),
        ({"anna": entry(), "ben": entry()}, "ben.token_sha256 is the one of anna too: give each operator a token of"),
        ({"anna": entry(role="admin")}, 'anna.role is a string: write "approver" or "operator" or "reader"'),
        ({"anna": {"token_sha256": digest("x")}}, "anna.role is missing or null"),
        ({"anna": entry(expires="2027")}, "anna.expires is not a field: known are person, role, token_sha256"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_path_with_what_to_write(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(document)
    assert str(refused.value).startswith(f"operators: {said}")


def test_hashes_that_differ_in_case_alone_are_one() -> None:
    upper_case = {"token_sha256": digest("token").upper(), "role": "approver"}
    with pytest.raises(ConfigurationError, match="is the one of anna too"):
        parse({"anna": entry(), "ben": upper_case})
