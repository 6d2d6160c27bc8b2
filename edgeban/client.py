"""The API for operators: ask, decide, undo. Each route has a method, in the words of the API's own description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from edgeban.http import Api

Answer = dict[str, Any]


class Client:
    """An operator with their token. Lists are iterators that ask for the next page when it is needed.

    Every method raises ``EdgebanError`` if the API refuses and ``Unreachable`` if it does not answer.
    Raises ``ValueError`` if the URL is not https, or http to this machine.
    """

    def __init__(self, url: str, token: str) -> None:
        self._api = Api(url, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})

    def get(self, path: str, **query: Any) -> Answer:
        """Read any path below ``/v1``."""
        return self._api.get(path, **query)

    def pages(self, path: str, items: str, **query: Any) -> Iterator[Answer]:
        """Yield the items of all pages of a list."""
        yield from self.further(self._api.get(path, **query), path, items, **query)

    def further(self, page: Answer, path: str, items: str, **query: Any) -> Iterator[Answer]:
        """Yield the items of a page and of all pages behind it."""
        yield from page[items]
        while page.get("next_token"):
            page = self._api.get(path, **{**query, "next_token": page["next_token"]})
            yield from page[items]

    def _whole(self, path: str, items: str, **query: Any) -> Answer:
        """Return the first page of an answer with the items of all its pages."""
        first = self._api.get(path, **query)
        whole = {**first, items: list(self.further(first, path, items, **query))}
        whole.pop("next_token", None)
        return whole

    # --- asking ---

    def me(self) -> Answer:
        """Return the operator's name and role, and the stage and version of the API."""
        return self._api.get("/me")

    def overview(self) -> Answer:
        """Return the overview: accounts, waiting URLs, holds, troubles, and bans in force."""
        return self._api.get("/overview")

    def health(self) -> Answer:
        """Return whether the ledger answers, and which accounts are paused or blocked."""
        return self._api.get("/health")

    def url(self, url: str) -> Answer:
        """Explain the decisions about a URL at each vendor account, with their history."""
        return self._api.get("/urls", url=url)

    def bans(self, **filters: Any) -> Iterator[Answer]:
        """Yield the bans in force. Filters: account, source, category, rule, host, q, since, ends_before, sort."""
        return self.pages("/bans", "bans", **{"limit": 1000, **filters})

    def ban_counts(self, by: str, **filters: Any) -> Answer:
        """Count the bans in force by source, category, account, rule, host or ends (their last day)."""
        return self._api.get("/bans/counts", by=by, **filters)

    def policy(self) -> Answer:
        """Return the policy in force."""
        return self._api.get("/policy")

    def test_policy(self, urls: Sequence[str], **fields: object) -> Answer:
        """Return what the policy, or a draft of it (``policy``), would do with at most 100 URLs. Nothing is written."""
        return self._api.post("/policy/test", {"urls": list(urls), **_given(fields)})

    def holds(self, **filters: Any) -> Iterator[Answer]:
        """Yield the holds that wait for a person. Filters: account, source, rule, host."""
        return self.pages("/holds", "holds", **filters)

    def hold(self, hold_id: str) -> Answer:
        """Return a hold with its URLs, of all its pages."""
        return self._whole(f"/holds/{quote(hold_id, safe='')}", "urls")

    def tasks(self, day: str = "") -> Iterator[Answer]:
        """Yield the tasks under way, or those that ended on a day (UTC)."""
        return self.pages("/tasks", "tasks", day=day)

    def task(self, task_id: str, account: str = "") -> Answer:
        """Return a task with its URLs; with an account, by the vendor's own task id."""
        return self._api.get(f"/tasks/{quote(task_id, safe='')}", account=account)

    def reports(self, **filters: Any) -> Iterator[Answer]:
        """Yield reports: those of a source (``of``) and ``day``, or of a ``correlation_id``."""
        return self.pages("/reports", "reports", **filters)

    def report(self, report_id: str, **query: Any) -> Answer:
        """Return one page of a report: the state of each of its URLs."""
        return self._api.get(f"/reports/{quote(report_id, safe='')}", **query)

    def report_urls(self, report_id: str) -> Iterator[Answer]:
        """Yield the state of each URL of a report."""
        return self.pages(f"/reports/{quote(report_id, safe='')}", "urls", limit=1000)

    def audit(self, **filters: Any) -> Iterator[Answer]:
        """Yield the decisions of people, newest first. Filters: actor, about, day, action."""
        return self.pages("/audit", "decisions", **filters)

    def events(self, after: str = "", **filters: Any) -> Answer:
        """Return the events of the journal after a place, and the next place."""
        return self._api.get("/events", after=after, **filters)

    def stats(self, **query: Any) -> Answer:
        """Return counts by source, account, category, rule or state, a minute, an hour or a day each."""
        return self._api.get("/stats", **query)

    def statements(self, **query: Any) -> Iterator[Answer]:
        """Yield statements of reasons: of a ``url``, of a ``report_id``, or of bans ``from`` a time ``to`` another."""
        return self.pages("/statements", "statements", **query)

    def statement_batches(self, **query: Any) -> Iterator[Answer]:
        """Yield pages in the shape of the Commission's database; ``left_out`` counts the incomplete statements."""
        page: Answer = {"next_token": ""}
        while "next_token" in page:
            page = self._api.get("/statements", **{**query, "shape": "dsa", "next_token": page["next_token"]})
            yield page

    def sources(self) -> list[Answer]:
        """Return the sources with today's numbers, without their secrets."""
        return list(self._api.get("/sources")["sources"])

    def callbacks(self, **filters: Any) -> Iterator[Answer]:
        """Yield the deliveries of outcome callbacks to a ``source``, on a ``day``."""
        return self.pages("/callbacks", "callbacks", **filters)

    def exports(self, account: str = "") -> Answer:
        """Return how far each day of a vendor's export is archived, newest first."""
        return self._whole("/exports", "days", account=account)

    # --- deciding ---

    def ban(self, urls: Sequence[str], **fields: object) -> Answer:
        """Ban URLs by hand. Fields: category, ban_days, until, reason, preview."""
        return self._api.post("/bans", {"urls": list(urls), **_given(fields)})

    def change_end(self, urls: Sequence[str], **fields: object) -> Answer:
        """Change when bans end. Fields: ban_days or until, reason, preview."""
        return self._api.send("PATCH", "/bans", {"urls": list(urls), **_given(fields)})

    def unban(self, selection: Mapping[str, object], **fields: object) -> Answer:
        """Undo bans.

        ``selection`` names urls, task_id, report_id or chunk_id; or source, host, category or several of these, with
        since and until_time. Fields: reason, preview, expect, cool_down_days, even_if_others_said_so.
        """
        return self._api.post("/unbans", {**_given(selection), **_given(fields)})

    def unbans(self, state: str = "") -> Iterator[Answer]:
        """Yield the unbans, newest first; those of one ``state``, if one is named."""
        return self.pages("/unbans", "unbans", **_given({"state": state or None}))

    def unban_job(self, unban_id: str) -> Answer:
        """Return how far an unban is."""
        return self._api.get(f"/unbans/{quote(unban_id, safe='')}")

    def approve_unban(self, unban_id: str, *, reason: str) -> Answer:
        """Approve an unban that waits for a second person."""
        return self._api.post(f"/unbans/{quote(unban_id, safe='')}/approve", {"reason": reason})

    def cancel_unban(self, unban_id: str, *, reason: str) -> Answer:
        """Cancel an unban that waits for a second person."""
        return self._api.post(f"/unbans/{quote(unban_id, safe='')}/cancel", {"reason": reason})

    def approve(self, hold_id: str, *, reason: str, excepted: Sequence[str] = ()) -> Answer:
        """Approve a hold; the excepted URLs end as refused."""
        body: Answer = {"reason": reason}
        if excepted:
            body["except"] = list(excepted)
        return self._api.post(f"/holds/{quote(hold_id, safe='')}/approve", body)

    def refuse(self, hold_id: str, *, reason: str) -> Answer:
        """Refuse a hold: none of its URLs is banned."""
        return self._api.post(f"/holds/{quote(hold_id, safe='')}/refuse", {"reason": reason})

    def pause(self, *, reason: str, account: str = "") -> Answer:
        """Pause submission for one account, or for all."""
        return self._api.post("/pause", _given({"reason": reason, "account": account}))

    def resume(self, *, reason: str, account: str = "") -> Answer:
        """Resume submission for one account, or for all."""
        return self._api.post("/resume", _given({"reason": reason, "account": account}))

    def request_exports(self, first: str, last: str, *, account: str = "", reason: str = "") -> Answer:
        """Ask the vendor for days of its export again, from a first to a last day (UTC+8)."""
        return self._api.post("/exports", _given({"from": first, "to": last, "account": account, "reason": reason}))

    def resend(self, report_id: str) -> Answer:
        """Send the outcome callback of a report again."""
        return self._api.post(f"/callbacks/{quote(report_id, safe='')}/resend", {})


def _given(fields: Mapping[str, object]) -> Answer:
    return {name: value for name, value in fields.items() if value not in (None, "")}
