"""The API for sources: report URLs and follow reports."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from edgeban import signing
from edgeban.errors import WaitedTooLong
from edgeban.http import Api


def _now() -> datetime:
    return datetime.now(UTC)


class Reporter:
    """A source with its secret.

    ``auth`` is ``standard-webhooks``, ``hub-sha256`` or ``bearer``, as edgeban's operators configured the source.
    Raises ``ValueError`` if the URL is not https, or the secret does not fit the scheme.
    """

    def __init__(
        self, url: str, source: str, secret: str, *, auth: str = "standard-webhooks", now: Callable[[], datetime] = _now
    ) -> None:
        signing.headers(auth, secret, b"", message_id="check", now=now())
        self._api = Api(url)
        self._source, self._secret, self._auth, self._now = source, secret, auth, now

    def report(
        self, urls: Sequence[str | Mapping[str, Any]], *, message_id: str = "", **fields: object
    ) -> dict[str, Any]:
        """Report at most 10,000 URLs in edgeban's own format and return the receipt.

        ``fields`` are those of the whole report: ``category``, ``reporter``, ``note``, ``ban_duration`` (days),
        ``reported_at``, ``correlation_id``, ``test``. A URL may be a mapping with ``url`` and fields of its own.
        """
        document = {"urls": [dict(url) if isinstance(url, Mapping) else url for url in urls]}
        body = json.dumps({**document, **{name: value for name, value in fields.items() if value not in (None, "")}})
        return self.send(body.encode(), content_type="application/json", message_id=message_id)

    def send(self, body: bytes, *, content_type: str, message_id: str = "") -> dict[str, Any]:
        """Report a body in the source's format and return the receipt.

        Without a message id, it is made from the source and the body: the same body again is the same report.
        """
        chosen = message_id or self.message_id(body)
        path = f"/reports/{quote(self._source, safe='')}"
        return self._api.post_bytes(
            path,
            body,
            lambda: {
                "Content-Type": content_type,
                **signing.headers(self._auth, self._secret, body, message_id=chosen, now=self._now()),
            },
        )

    def message_id(self, body: bytes) -> str:
        """Return the id of a body: the same for the same source and body."""
        return "body-" + hashlib.sha256(self._source.encode() + b"\0" + body).hexdigest()[:40]

    def status(self, report_id: str, *, next_token: str = "", limit: int | None = None) -> dict[str, Any]:
        """Return one page of a report of this source."""
        signed = signing.question_headers(
            self._auth, self._secret, report_id, message_id=f"ask-{uuid.uuid4()}", now=self._now()
        )
        return self._api.get(
            f"/reports/{quote(report_id, safe='')}",
            headers={"X-Edgeban-Source": self._source, **signed},
            next_token=next_token,
            limit=limit,
        )

    def urls(self, report_id: str) -> Iterator[dict[str, Any]]:
        """Yield the state of each URL of a report."""
        token = ""
        while True:
            page = self.status(report_id, next_token=token, limit=1000)
            yield from page["urls"]
            token = page.get("next_token", "")
            if not token:
                return

    def wait(self, report_id: str, *, seconds: float, sleep: Callable[[float], object] = time.sleep) -> dict[str, Any]:
        """Ask until every URL of a report is in a final state, and return the report's first page.

        Raises ``WaitedTooLong`` if the seconds pass before.
        """
        return wait_until(
            lambda: self.status(report_id, limit=1000),
            lambda page: bool(page.get("complete")),
            f"report {report_id} has not come to its end",
            seconds=seconds,
            sleep=sleep,
        )


def wait_until(
    ask: Callable[[], dict[str, Any]],
    done: Callable[[dict[str, Any]], bool],
    undone: str,
    *,
    seconds: float,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Ask every second, later every five seconds, until it is done. Raises ``WaitedTooLong``."""
    waited, pause = 0.0, 1.0
    while not done(answer := ask()):
        if waited >= seconds:
            raise WaitedTooLong(f"{undone} within {seconds:.0f} s")
        sleep(pause)
        waited += pause
        pause = min(5.0, pause * 1.25)
    return answer
