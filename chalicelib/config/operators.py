"""Operators: whose token may do what at the API. The document holds the hash of each token, never the token."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from chalicelib.config.fields import Fields

ROLES = ("reader", "operator", "approver")
"""What an operator's token allows, each more than the one before."""

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_HASH_OF_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Operator:
    """A person, or a program of theirs, by the name of their token."""

    name: str
    role: str
    person: str = ""
    """The person who works with the token, as ``person_of`` writes it: several tokens of one person count as one."""

    def may(self, role: str) -> bool:
        """Tell whether the operator's role allows what ``role`` allows."""
        return ROLES.index(self.role) >= ROLES.index(role)


def person_of(name: str) -> str:
    """Return the form in which people are compared: names that differ only in case or spaces are one person's."""
    return " ".join(name.casefold().split())


def parse(document: object) -> dict[str, Operator]:
    """Validate the document of all operators; the keys are the SHA-256 of their tokens, in lower-case hexadecimal.

    Raises ConfigurationError, which never repeats a hash.
    """
    operators: dict[str, Operator] = {}
    for name, fields in Fields.of("operators", document, holds_secrets=True).named().items():
        fields.only({"token_sha256", "role", "person"})
        token_hash = _token_hash(fields)
        if token_hash in operators:
            other = operators[token_hash].name
            fields.refuse("token_sha256", f"is the one of {other} too", "give each operator a token of their own")
        person = person_of(fields.text("person", name))
        if not person:
            fields.refuse("person", "is empty", "name the human who works with the token, or leave the field out")
        operators[token_hash] = Operator(name, fields.choice("role", ROLES), person)
    return operators


def _token_hash(fields: Fields) -> str:
    token_hash = fields.text("token_sha256").lower()
    if not _SHA256.fullmatch(token_hash):
        fields.refuse("token_sha256", "is no SHA-256", "write the 64 hexadecimal digits of the token's SHA-256")
    if token_hash == _HASH_OF_NOTHING:
        remedy = "hash the token: the command in docs/operating.md prints both"
        fields.refuse("token_sha256", "is the SHA-256 of an empty token", remedy)
    return token_hash
