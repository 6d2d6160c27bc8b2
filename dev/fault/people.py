"""Those outside: sources that report, and a person who unbans URLs and gives bans an end. All try until heard."""

from __future__ import annotations

import base64
import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.reports.signature import sign
from dev.fault.checker import exact, is_ours, marks
from dev.fault.plan import ENDING, Delivery, Plan, Way
from dev.feed import MANAGED
from dev.local_aws import LocalAws

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
TOKEN = "fault-operator-token-0123456789"
SOURCES: dict[str, Any] = {
    "desk": {"auth": "standard-webhooks", "secrets": [SECRET], "format": "native"},
    "other": {"auth": "standard-webhooks", "secrets": [OTHER_SECRET], "format": "native"},
    "queue": {"auth": "none", "format": "native"},
}
OPERATORS = {"tester": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "operator"}}

END_AFTER = timedelta(seconds=15)
"""How long after a person sets it the end of a ban is: later than the calm, and early enough for the lift."""


class People:
    """What a run's sources and its person said, and were told. Threads may share it."""

    def __init__(self, plan: Plan, aws: LocalAws, accounts: Sequence[str], over: threading.Event) -> None:
        """``accounts`` serve every host; ``over`` ends all tries."""
        self.plan, self.aws, self._accounts, self._over = plan, aws, accounts, over
        self.accepted: list[str] = []
        self.offered: list[str] = []
        self.unbanned: list[str] = []
        self.ended: dict[str, datetime] = {}
        """URLs whose bans were given an end, with the latest end."""
        self.report_ids: list[str] = []
        self.problems: list[str] = []
        self.met: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._local = threading.local()

    # --- sources ---------------------------------------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """Send a delivery as often as it says."""
        with self._lock:
            self.offered += delivery.urls
        try:
            for _ in range(delivery.times):
                self._send(delivery)
        except (requests.RequestException, BotoCoreError, ClientError) as error:
            self._complain(f"delivery {delivery.number} was not taken: {error}")

    def _send(self, delivery: Delivery) -> None:
        stack = self.aws.stack
        if delivery.way in {Way.WEBHOOK, Way.FORGED}:
            self._post(delivery)
            return
        if delivery.way is Way.OBJECT:
            key = f"queue/{delivery.number}.json"
            self.aws.s3.put_object(Bucket=stack.intake_bucket, Key=key, Body=delivery.body.encode())
        else:
            self.aws.sqs.send_message(
                QueueUrl=stack.reports_queue_url,
                MessageBody=delivery.body,
                MessageAttributes={"source": {"DataType": "String", "StringValue": "queue"}},
            )
        with self._lock:
            self.accepted += delivery.urls

    def _post(self, delivery: Delivery) -> None:
        """Post until it is taken, as senders of Standard Webhooks do: the same id, a new signature."""
        forged = delivery.way is Way.FORGED
        if not hasattr(self._local, "http"):
            self._local.http = requests.Session()
        body, webhook_id = delivery.body.encode(), f"{self.plan.seed}-{delivery.number}"
        while not self._over.is_set():
            now = int(time.time())
            signature = sign(OTHER_SECRET if forged else SECRET, webhook_id, now, body)
            try:
                answer = self._local.http.post(
                    f"{self.aws.stack.api_url}/v1/reports/desk",
                    data=body,
                    headers={
                        "content-type": "application/json",
                        "webhook-id": webhook_id,
                        "webhook-timestamp": str(now),
                        "webhook-signature": signature,
                    },
                    timeout=60,
                )
            except requests.Timeout:  # The sender knows only that no answer came.
                self._meet("webhooks without an answer")
                continue
            if answer.status_code < 500 and answer.status_code != 429:
                break
            self._meet("webhooks answered 5xx")
            time.sleep(0.5)
        else:
            return
        with self._lock:
            if answer.status_code != (401 if forged else 202):
                self.problems.append(f"{delivery.way} {delivery.number}: {answer.status_code} {answer.text[:200]}")
            elif not forged:
                self.accepted += delivery.urls
                self.report_ids.append(answer.json()["report_id"])

    # --- a person --------------------------------------------------------------------------------------------

    def unban_some(self) -> None:
        """Unban URLs that were reported: waiting, under way or banned, as it happens."""
        dice, scale = random.Random(f"unban {self.plan.seed}"), self.plan.scale
        while len(self.unbanned) < scale.unbans and not self._over.wait(0.7 * scale.seconds / scale.unbans):
            fit = [url for url in self._known() if url not in self.unbanned and not marks(url)]
            if fit:
                url = dice.choice(fit)
                self._unban(url)

    def _unban(self, url: str) -> None:
        if self._ask("POST", "unbans", lambda: {"urls": [url]}):
            self.unbanned.append(url)
            self._meet("URLs unbanned")

    def end_some(self) -> None:
        """Give bans that are in force at every account an end within the run."""
        scale = self.plan.scale
        while len(self.ended) < scale.ends and not self._over.wait(0.4 * scale.seconds / (scale.ends or 1)):
            url = next((url for url in self._known() if ENDING in url and url not in self.ended), "")
            if url and self._set_end(url, preview=True):
                while not self._set_end(url, preview=False) and not self._over.wait(1):
                    pass
                self._meet("bans given an end")

    def _set_end(self, url: str, *, preview: bool) -> bool:
        """Set the end of a URL's bans; return whether it is set at every account."""

        def asked() -> dict[str, object]:
            end = datetime.now(UTC) + END_AFTER
            if not preview:
                self.ended[url] = end
            return {"urls": [url], "until": end.isoformat(timespec="seconds"), "preview": preview}

        told = self._ask("PATCH", "bans", asked)
        return {item["account"] for item in told.get("first", [])} == set(self._accounts)

    def _known(self) -> list[str]:
        with self._lock:
            return [url for url in dict.fromkeys(self.accepted) if exact(url) and is_ours(exact(url), MANAGED)]

    def _ask(self, method: str, path: str, asked: Callable[[], dict[str, object]]) -> dict[str, Any]:
        """Ask until an answer comes; return it, or nothing if it is a refusal or the run is over."""
        while not self._over.is_set():
            fields = asked()
            with suppress(requests.RequestException):
                answer = requests.request(
                    method,
                    f"{self.aws.stack.api_url}/v1/{path}",
                    json={**fields, "reason": "it is clean"},
                    headers={"Authorization": f"Bearer {TOKEN}"},
                    timeout=60,
                )
                if answer.status_code in {200, 202}:
                    told: dict[str, Any] = answer.json()
                    return told
                if "until has passed" in answer.text:
                    continue  # The API was down until the end had passed: ask with a later one.
                if answer.status_code < 500 and answer.status_code != 429:
                    self._complain(f"{method} {path} {fields}: {answer.status_code} {answer.text[:200]}")
                    return {}
            time.sleep(0.5)
        return {}

    def _complain(self, problem: str) -> None:
        with self._lock:
            self.problems.append(problem)

    def _meet(self, what: str) -> None:
        with self._lock:
            self.met[what] += 1
