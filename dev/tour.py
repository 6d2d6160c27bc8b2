"""The safety tour: caps and approvals, protection, unban, pause, drift and renewal, each shown and each checked.

All but the last two go through the deployed stack's own API with operators' tokens; the last two take days, so they run
under a turned clock (``tour_clock.py``) meanwhile. By itself: ``make tour``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests

from chalicelib.reports.signature import sign
from dev.local_aws import FunctionBusy, LocalAws
from dev.ministack import LocalAwsError
from dev.package import PackagingError
from dev.showing import ACCOUNT, UNCAPPED, say, until_interrupted
from dev.simulators.huawei import HuaweiSimulator
from dev.tour_clock import Seen, show_drift, show_ninety_days

HOST = "https://tour.example.com"
CAP = 5
"""Bans an hour of the source ``tour-burst``."""

TWO_ABOVE = 5
BURST = [f"{HOST}/burst/{number}" for number in range(12)]
BANNED = [f"{HOST}/wrong/{number}" for number in range(2)] + [f"{HOST}/right"]
UNBANNED = BANNED[:2]
PROTECTED = f"{HOST}/checkout"
COMMENT = "reported again and again, and clean: ticket 4711"

IN_FORCE: dict[str, Any] = {
    "sources": {"tour-burst": {"max_per_hour": CAP}},
    "protected": [{"url": PROTECTED, "comment": COMMENT}],
    "approvals": {"two_above": TWO_ABOVE},
}
"""Fields of the policy for the tour. They are set at the start, since a change takes half a minute."""

WINDOW = 7.0
"""Seconds in which nothing may reach the vendor while submission is paused: more than the batching window."""

PATIENCE = 60.0
POLL = 0.5


class Tour:
    """The tour of one stack. ``policy``, ``sources`` and ``operators`` belong into its configuration."""

    def __init__(self, aws: LocalAws, simulator: HuaweiSimulator, *, say: Callable[[str], None]) -> None:
        self._aws = aws
        self._simulator = simulator
        self._say = say
        self._secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._tokens = {name: secrets.token_urlsafe(24) for name in ("operator", "first approver", "second approver")}
        self._http = requests.Session()
        self._wrong = 0
        self._interrupted = threading.Event()
        self.policy = IN_FORCE
        source = {"auth": "standard-webhooks", "secrets": [self._secret], "format": "native"}
        self.sources = {"tour-burst": source, "tour-desk": source}
        self.operators = {
            name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "role": name.rpartition(" ")[2]}
            for name, token in self._tokens.items()
        }

    def run(self, interrupted: threading.Event) -> bool:
        """Show the whole tour; return whether everything was right."""
        began, self._interrupted = time.monotonic(), interrupted
        self._say("")
        self._say("the safety tour: the deployed stack through its API; drift and 90 days under a turned clock")
        with ThreadPoolExecutor(1) as beside:
            turned = beside.submit(self._turn)
            try:
                self._walk()
            except (TourError, requests.RequestException, LocalAwsError) as error:
                self._show(Seen("tour", str(error), right=False))
            for seen in self._turned_lines(turned):
                self._show(seen)
        wrong = f"{self._wrong} NOT OK" if self._wrong else "all OK"
        self._say(f"the safety tour took {time.monotonic() - began:.0f} s: {wrong}")
        return not self._wrong

    # --- under a turned clock ---------------------------------------------------------------------------------------

    def _turn(self) -> list[Seen]:
        lines: list[Seen] = []
        for show in (show_drift, show_ninety_days):
            if not self._interrupted.is_set():
                show(self._aws, lines.append)
        return lines

    def _turned_lines(self, turned: Future[list[Seen]]) -> list[Seen]:
        try:
            return turned.result(timeout=PATIENCE)
        except Exception as error:  # noqa: BLE001, whatever it is, it was not shown
            return [Seen("clock", f"{type(error).__name__}: {error}", right=False)]

    # --- on the deployed stack ----------------------------------------------------------------------------------------

    def _walk(self) -> None:
        self._ask("operator", "POST", "pause", {"reason": "the tour begins"})
        burst, wrong = self._report("tour-burst", BURST), self._report("tour-desk", BANNED)
        self._protected()
        self._paused(burst, wrong)
        hold = self._held(burst)
        self._ask("operator", "POST", "resume", {"reason": "it waited long enough"})
        self._until("the first bans", lambda: self._there(BURST) == CAP and self._there(BANNED) == len(BANNED))
        self._see("pause", f"resumed: {CAP} of the burst and all {len(BANNED)} others are banned")
        self._approved(hold)
        self._unbanned()

    def _protected(self) -> None:
        receipt = self._report("tour-desk", [PROTECTED])
        refused = [(each["url"], each.get("rule", each["reason"])) for each in receipt["rejected"]]
        told = self._ask("operator", "GET", "urls", url=PROTECTED)
        comment = (told.get("protected") or {}).get("comment", "")
        right = len(refused) == 1 and comment == COMMENT and COMMENT not in json.dumps(receipt)
        self._see("protect", f"{PROTECTED} is refused; operators see why: {comment}", right=right)

    def _paused(self, *receipts: Mapping[str, Any]) -> None:
        self._until("the burst to be taken", lambda: self._states(receipts[0])["held"] > 0)
        self._interrupted.wait(WINDOW)
        states = sum((self._states(each) for each in receipts), Counter[str]())
        there = self._there(BURST + BANNED)
        words = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        right = there == 0 and states["pending"] == CAP + len(BANNED)
        self._see("pause", f"{WINDOW:.0f} s after two reports: {words}; {there} at the vendor", right=right)

    def _held(self, burst: Mapping[str, Any]) -> str:
        above = len(BURST) - CAP
        held = self._states(burst)["held"]
        listed = self._ask("operator", "GET", "holds", limit="1000")["holds"]
        found = [each for each in listed if each["rule"] == "source_cap"]
        self._see(
            "cap", f"a burst of {len(BURST)} over a cap of {CAP}: {held} held in {len(found)} hold", right=held == above
        )
        if len(found) != 1:
            raise TourError(f"{len(found)} holds of the cap: one was expected")
        return str(found[0]["hold_id"])

    def _approved(self, hold: str) -> None:
        path, reason = f"holds/{hold}/approve", {"reason": "seen, all of it"}
        first = self._ask("first approver", "POST", path, reason)
        again = self._ask("first approver", "POST", path, reason, status=409)
        self._see(
            "approve",
            f"the first approver: {first['approvals']} of {first['approvals_needed']}; again: {again['error']['code']}",
            right=first["state"] == "held",
        )
        second = self._ask("second approver", "POST", path, reason)
        decisions = self._ask("operator", "GET", "audit", about=f"hold:{hold}")["decisions"]
        actors = [each["actor"] for each in reversed(decisions)]
        self._see(
            "approve",
            f"the second approver: {second['state']}; on record: {', '.join(actors)}",
            right=second["state"] == "approved" and actors == ["first approver", "second approver"],
        )

    def _unbanned(self) -> None:
        preview = self._ask("operator", "POST", "unbans", {"urls": UNBANNED, "preview": True})
        before = self._there(UNBANNED)
        self._see(
            "unban",
            f"a preview counts {preview['urls']} URLs and changes nothing",
            right=preview["urls"] == before == len(UNBANNED),
        )
        asked = {"urls": UNBANNED, "reason": "the customer appealed", "cool_down_days": 7}
        self._ask("operator", "POST", "unbans", asked, status=202)
        again = self._report("tour-desk", UNBANNED)
        self._until("the report to be suppressed", lambda: self._states(again)["suppressed"] == len(UNBANNED))
        self._see("unban", f"reported again in the cool-down: {len(UNBANNED)} suppressed")
        self._until("the unban", lambda: self._there(UNBANNED) == 0 and self._there(BURST) == len(BURST))
        edge = {url: self._edge(url) for url in (UNBANNED[0], BANNED[-1])}
        self._see(
            "unban",
            f"the edge answers {edge[UNBANNED[0]]} for what is unbanned and {edge[BANNED[-1]]} for what is not",
            right=list(edge.values()) == [200, 403],
        )
        self._see("approve", f"all {len(BURST)} of the burst are banned", right=self._there(BURST) == len(BURST))

    # --- calls ---------------------------------------------------------------------------------------------------

    def _report(self, source: str, urls: Sequence[str]) -> dict[str, Any]:
        body = json.dumps({"urls": [{"url": url, "category": "phishing"} for url in urls]}).encode()
        webhook_id, now = f"tour-{secrets.token_hex(8)}", int(time.time())
        answer = self._http.post(
            f"{self._aws.stack.api_url}/v1/reports/{source}",
            data=body,
            headers={
                "content-type": "application/json",
                "webhook-id": webhook_id,
                "webhook-timestamp": str(now),
                "webhook-signature": sign(self._secret, webhook_id, now, body),
            },
            timeout=30,
        )
        return _expected(answer, 202, f"report of {source}")

    def _ask(
        self,
        who: str,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        **query: str,
    ) -> dict[str, Any]:
        answer = self._http.request(
            method,
            f"{self._aws.stack.api_url}/v1/{path}",
            params=query,
            json=document,
            headers={"Authorization": f"Bearer {self._tokens[who]}"},
            timeout=30,
        )
        return _expected(answer, status, f"{method} {path}")

    def _states(self, receipt: Mapping[str, Any]) -> Counter[str]:
        said = self._ask("operator", "GET", f"reports/{receipt['report_id']}")["urls"]
        return Counter(each["state"] for each in said)

    def _there(self, urls: Sequence[str]) -> int:
        banned = self._simulator.banned()
        return sum(url in banned for url in urls)

    def _edge(self, url: str) -> int:
        return requests.get(f"{self._simulator.url}/_sim/edge", params={"url": url}, timeout=10).status_code

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait, with ``track_tasks`` run more often than its schedule. Raises TourError."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if self._interrupted.wait(POLL):
                raise TourError("interrupted")
            if time.monotonic() > deadline:
                raise TourError(f"{what} did not come within {PATIENCE:.0f} s")
            with contextlib.suppress(FunctionBusy):
                self._aws.invoke("track_tasks")

    def _see(self, about: str, what: str, *, right: bool = True) -> None:
        self._show(Seen(about, what, right))

    def _show(self, seen: Seen) -> None:
        self._wrong += not seen.right
        self._say(f"  {'OK' if seen.right else 'NOT OK':6}  {seen.about:8} {seen.what}")


class TourError(Exception):
    """Something did not happen on which the next steps depend."""


def _expected(answer: requests.Response, status: int, what: str) -> dict[str, Any]:
    if answer.status_code != status:
        raise TourError(f"{what}: {answer.status_code} instead of {status}: {answer.text[:200]}")
    said: dict[str, Any] = answer.json()
    return said


def main() -> int:
    interrupted = until_interrupted()
    try:
        with HuaweiSimulator(task_seconds=2) as simulator, LocalAws(say=say) as aws:
            tour = Tour(aws, simulator, say=say)
            vendor = {"vendor": "huawei", "endpoint": simulator.url, **simulator.credentials}
            accounts = {ACCOUNT: {"managed_domains": ["*.example.com"]}}
            aws.configure(
                sources=tour.sources,
                operators=tour.operators,
                vendors={ACCOUNT: vendor},
                policy={"version": 1, "accounts": accounts, "caps": UNCAPPED, **tour.policy},
            )
            return 0 if tour.run(interrupted) else 1
    except (LocalAwsError, PackagingError) as error:
        sys.stderr.write(f"make tour: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
