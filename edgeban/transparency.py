"""Send statements of reasons to the Commission's transparency database. It keeps each once, however often sent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from edgeban.errors import EdgebanError, Unreachable
from edgeban.http import BUSY, TIMEOUT, cause_of, keep_headers, safe_url

BATCH = 100
"""Statements that the database takes in one call: all of them or none."""

TRIES = 5
PAUSE = 2.0
"""Seconds before the second try of a call; doubled before each further one. The database counts calls a second."""

Statements = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Sent:
    """The result of sending statements: how many the database made, and how many it had already."""

    made: int = 0
    known: int = 0

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.made + other.made, self.known + other.known)


class TransparencyDatabase:
    """The database at the address of its ``statements``, such as ``https://…/api/v1/statements``.

    Raises ``ValueError`` if the address is not https, or http to this machine.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = safe_url(url, "the database's address")
        self._session = requests.Session()
        self._session.auth = keep_headers
        self._session.headers.update({"Authorization": f"Bearer {token}", "Accept": "application/json"})

    def send(self, statements: Statements) -> Sent:
        """Send at most ``BATCH`` statements. It may be repeated at any time: the database knows each by its ``puid``.

        The database takes a batch as a whole or not at all. If it has some already, the others are sent again without
        these. Raises EdgebanError if it refuses a statement, Unreachable if it does not answer.
        """
        left = list({str(statement["puid"]): statement for statement in statements}.values())
        known = 0
        while left:
            answer = self._post(left)
            if answer.status_code == 201:
                return Sent(len(left), known)
            there = _known(answer)
            rest = [statement for statement in left if statement["puid"] not in there]
            if len(rest) == len(left):
                raise EdgebanError(_problem(answer), status=answer.status_code)
            known += len(left) - len(rest)
            left = rest
        return Sent(0, known)

    def _post(self, statements: Statements) -> requests.Response:
        """Post a batch; try again after 429, 5xx and lost connections. Statements that were made are known then."""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                answer = self._session.post(
                    self._url, json={"statements": list(statements)}, timeout=TIMEOUT, allow_redirects=False
                )
            except requests.RequestException as error:
                problem = cause_of(error)
                continue
            if answer.status_code not in BUSY:
                return answer
            problem = f"HTTP {answer.status_code}"
        raise Unreachable(f"the database does not answer: {problem}; send the same again later")


def _errors(answer: requests.Response) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    errors = document.get("errors") if isinstance(document, dict) else None
    return errors if isinstance(errors, dict) else {}


def _known(answer: requests.Response) -> set[str]:
    """Return the puids that the database has already, if it refused the batch because of them."""
    puids = _errors(answer).get("existing_puids")
    return set(map(str, puids)) if answer.status_code == 422 and isinstance(puids, list) else set()


def _problem(answer: requests.Response) -> str:
    """Say why the database refused a batch: in its own words about the first statement that it refused."""
    if answer.status_code in {401, 403}:
        return f"the database refuses the token (HTTP {answer.status_code})"
    for name, problems in _errors(answer).items():
        words = problems
        while isinstance(words, (dict, list)) and words:
            words = next(iter(words.values())) if isinstance(words, dict) else words[0]
        return f"the database refuses {name} of a batch: {words}"[:500]
    return f"the database refuses a batch: HTTP {answer.status_code}"
