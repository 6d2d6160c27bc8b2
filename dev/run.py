"""The demonstration behind ``make run``: reports in, bans out, on a local AWS with the packaged app in it.

``VENDORS=all`` shows one report at every CDN instead (``run_vendors``).
Options come from the environment: FEED, LIMIT, ONCE, HUAWEI_ENDPOINT, HUAWEI_ACCESS_KEY, HUAWEI_SECRET_KEY, and
the same three with ALIBABA_ for the export that is archived.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from chalicelib.aws.dynamodb import Table
from chalicelib.config import policy as policies
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import ChunkState, UrlState
from chalicelib.domain.urls import canonical_url, host_of
from chalicelib.ledger import remaining, tasks
from dev.check import Checked, check
from dev.exports import ACCOUNT as EXPORT_ACCOUNT
from dev.exports import ExportAccount, show_archived_day
from dev.feed import MANAGED, FeedRow, read_feed, sample_feed
from dev.local_aws import LocalAws
from dev.ministack import LocalAwsError
from dev.package import PackagingError
from dev.progress import Progress, Ticker, what_is_held
from dev.run_vendors import show_every_vendor
from dev.senders import Senders, Sent
from dev.showing import ACCOUNT, UNCAPPED, say, until_interrupted
from dev.simulators.huawei import HuaweiSimulator
from dev.tour import Tour

SAMPLE_ROWS = 5_000
TRACK_SECONDS = 3.0
SWEEP_SECONDS = 10.0
ARCHIVE_SECONDS = 15.0
PATIENCE_SECONDS = 300.0
"""How long nothing may change before ``ONCE`` gives up."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the demonstration."""

    feed: Path | None
    limit: int | None
    once: bool
    endpoint: str
    access_key: str
    secret_key: str

    @classmethod
    def from_environment(cls) -> Options:
        """Read the options. Raises LocalAwsError where one cannot be."""
        wishes = {name: os.environ.get(name, "").strip() for name in ("FEED", "LIMIT", "ONCE")}
        vendor = [os.environ.get(f"HUAWEI_{name}", "").strip() for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY")]
        if wishes["LIMIT"] and not wishes["LIMIT"].isdigit():
            raise LocalAwsError(f"LIMIT is {wishes['LIMIT']!r}: a number of reported URLs is needed")
        feed = Path(wishes["FEED"]) if wishes["FEED"] else None
        if feed and not feed.is_file():
            raise LocalAwsError(f"FEED is {wishes['FEED']!r}: there is no such file")
        if any(vendor) and not all(vendor):
            raise LocalAwsError("give HUAWEI_ENDPOINT, HUAWEI_ACCESS_KEY and HUAWEI_SECRET_KEY together, or none")
        limit = int(wishes["LIMIT"]) if wishes["LIMIT"] else None
        return cls(feed, limit, wishes["ONCE"] not in {"", "0"}, *vendor)

    def rows(self) -> list[FeedRow]:
        """Read the feed, or make the sample up."""
        if self.feed:
            return list(read_feed(self.feed, self.limit))
        return list(sample_feed(self.limit or SAMPLE_ROWS))


class Demonstration:
    """One run: configure, feed, watch, sum up."""

    def __init__(
        self, options: Options, aws: LocalAws, simulator: HuaweiSimulator | None, exports: dict[str, str]
    ) -> None:
        """Take the options, the local AWS and the vendor. ``exports`` is the entry of the account with exports."""
        self.exports = exports
        self.options = options
        self.aws = aws
        self.simulator = simulator
        self.feed = options.rows()
        self.token = secrets.token_urlsafe(24)
        self.webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.policy: dict[str, Any] = {
            "version": 1,
            "accounts": {ACCOUNT: {"managed_domains": list(MANAGED)}},
            "caps": UNCAPPED,
        }
        self.tour = Tour(aws, simulator, say=say) if simulator and not options.feed else None
        self.policy.update(self.tour.policy if self.tour else {})
        self.table = Table(aws.dynamodb, aws.stack.table)
        self.started = time.monotonic()

    def configure(self) -> None:
        """Put secrets and policy where the functions look for them."""
        options = self.options
        if options.feed:
            hosts = sorted(_hosts(self.feed))
            self.policy.update(accounts={ACCOUNT: {"managed_domains": hosts}})
            say(f"the default policy is in force, for all {len(hosts):,} hosts of the feed: roots wait for a person.")
            say("Only the caps are lifted, since the reports of months come within a minute")
        vendor = {
            "vendor": "huawei",
            "endpoint": options.endpoint,
            "access_key": options.access_key,
            "secret_key": options.secret_key,
        }
        if self.simulator:
            vendor.update(endpoint=self.simulator.url, **self.simulator.credentials)
        self.aws.configure(
            sources={
                "demo": {"auth": "standard-webhooks", "secrets": [self.webhook_secret], "format": "native"},
                "queue-demo": {"auth": "none", "format": "native"},
                **(self.tour.sources if self.tour else {}),
            },
            operators={
                "demo-operator": {"token_sha256": hashlib.sha256(self.token.encode()).hexdigest(), "role": "operator"},
                **(self.tour.operators if self.tour else {}),
            },
            vendors={ACCOUNT: vendor, EXPORT_ACCOUNT: self.exports},
            policy=self.policy,
        )

    def run(self, interrupted: threading.Event) -> bool:
        """Feed, watch, sum up; return whether every accepted URL came to its end."""
        senders = Senders(self.aws, self.feed, secret=self.webhook_secret)
        tickers = [
            Ticker(self.aws, "track_tasks", TRACK_SECONDS),
            Ticker(self.aws, "sweep", SWEEP_SECONDS),
            Ticker(self.aws, "archive_exports", ARCHIVE_SECONDS),
        ]
        say(f"sending {len(self.feed):,} reported URLs in {senders.total:,} reports: half of them as signed webhooks,")
        say(f"half through the queue; tracking every {TRACK_SECONDS:.0f} s instead of every minute")
        self.started = time.monotonic()
        workers: list[Senders | Ticker] = [senders, *tickers]
        for worker in workers:
            worker.start()
        try:
            checked = self._watch(senders, tickers, interrupted)
            if checked is None:
                return False
            self._sum_up(senders.sent, checked)
            archived = show_archived_day(self.aws, token=self.token, interrupted=interrupted, say=say)
            toured = self.tour.run(interrupted) if self.tour else True
            self._show_how_to_ask(checked, senders.sent)
            if not self.options.once:
                say("Ctrl-C ends it all")
                interrupted.wait()
            return checked.complete and archived and toured and not senders.sent.problems
        finally:
            for worker in workers:
                worker.stop()

    # --- watching ----------------------------------------------------------------------------------------------

    def _watch(self, senders: Senders, tickers: Sequence[Ticker], interrupted: threading.Event) -> Checked | None:
        last_line, changed = "", time.monotonic()
        shown: set[str] = set()
        while not interrupted.wait(1.0):
            line = self._progress_line(senders)
            if line != last_line:
                changed = time.monotonic()
                say(f"{time.monotonic() - self.started:5.0f} s  {line}")
                last_line = line
            for problem in {*senders.sent.problems, *(ticker.problem for ticker in tickers)} - shown - {""}:
                shown.add(problem)
                say(f"         ! {problem}")
            patience_over = time.monotonic() - changed > PATIENCE_SECONDS
            if patience_over or (senders.sent.done and self._at_rest()):
                checked = self._check(senders.sent)
                if checked.complete or patience_over:
                    return checked
        return None

    def _progress_line(self, senders: Senders) -> str:
        sent, seen = senders.sent, Progress.read(self.aws)
        seconds = max(time.monotonic() - self.started, 0.001)
        pace = "" if sent.done else f" ({sent.urls / seconds:,.0f} URLs/s)"
        parts = [
            f"reports {sent.reports:,}/{senders.total:,}{pace}",
            f"unique {seen.unique:,}",
            f"duplicates {seen.duplicates:,}",
            f"refused {sent.refused + seen.refused:,}",
            f"held {seen.held:,}",
            f"tasks {seen.tasks:,} ({seen.tasks_ended:,} ended)",
            f"banned {seen.banned:,}",
        ]
        if seen.failed or seen.unreadable:
            parts.append(f"given up {seen.failed:,}, unreadable {seen.unreadable:,}")
        return "  ".join(parts)

    def _at_rest(self) -> bool:
        attributes = self.aws.sqs.get_queue_attributes(
            QueueUrl=self.aws.stack.reports_queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        if any(int(number) for number in attributes.values()):
            return False
        if any(work.state is not ChunkState.HELD for work in remaining.of_account(self.table, ACCOUNT)):
            return False
        return not tasks.live(self.table, ACCOUNT)

    def _check(self, sent: Sent) -> Checked:
        return check(
            sent.first, rows=self.table, policy=policies.parse(self.policy), now=datetime.now(UTC), sent_at=sent.first
        )

    # --- the end -------------------------------------------------------------------------------------------------

    def _sum_up(self, sent: Sent, checked: Checked) -> None:
        say("")
        say(f"{sent.urls:,} reported URLs in {sent.webhooks:,} webhooks and {sent.messages:,} messages became")
        for state, count in sorted(checked.states.items(), key=lambda state_count: -state_count[1]):
            if count:
                say(f"  {count:8,}  {state}")
        say(f"  {sent.urls - checked.states.total():8,}  repeats, which cost no write and no vendor call")
        if checked.states[UrlState.HELD.value]:
            for line in what_is_held(self.table, checked):
                say(line)
        if checked.seconds:
            half, most = checked.percentile(50), checked.percentile(95)
            say(f"from report to ban: p50 {half:.1f} s, p95 {most:.1f} s, longest {checked.seconds[-1]:.1f} s")
        if self.simulator:
            stats = self.simulator.stats()
            calls = f"{stats['creates']:,} creates of {stats['urls_per_create']:,.0f} URLs"
            busiest = f"at most {stats['max_creates_per_second']} in a second"
            bad = f"{stats['throttled']} throttled, {stats['doubles']} doubles"
            say(f"the vendor's own count: {calls}, {busiest}; {bad}, {stats['banned']:,} banned")
        for name, urls in (("without an end", checked.unfinished), ("in two tasks", checked.in_two_tasks)):
            if urls:
                say(f"{len(urls):,} URLs {name}, for instance {', '.join(urls[:3])}")
        say("every accepted URL came to its end" if checked.complete else "NOT every accepted URL came to its end")

    def _show_how_to_ask(self, checked: Checked, sent: Sent) -> None:
        url = checked.banned[0] if checked.banned else next(iter(sent.first), "https://www.example.com/")
        asked = f"{self.aws.stack.api_url}/v1/urls?url={quote(url, safe='')}"
        say("")
        say(f"the console: {self.aws.stack.api_url}/console, with the token {self.token}")
        say("the command line, once `make cli` has put it into .venv/bin:")
        say(f"  export EDGEBAN_URL={self.aws.stack.api_url} EDGEBAN_TOKEN={self.token}")
        say(f"  .venv/bin/edgeban why '{url}'")
        say(f"  .venv/bin/edgeban reports show {sent.report_id}")
        say("  .venv/bin/edgeban holds")
        if self.options.once:
            with contextlib.suppress(requests.RequestException):
                answer = requests.get(asked, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)
                say(f"the first answers {answer.status_code}\n{json.dumps(answer.json(), indent=2)}")


def _hosts(rows: Sequence[FeedRow]) -> set[str]:
    hosts = set()
    for row in rows:
        with contextlib.suppress(UnusableUrl):
            hosts.add(host_of(canonical_url(row.url)))
    return hosts


def main() -> int:
    interrupted = until_interrupted()
    try:
        if os.environ.get("VENDORS", "").strip() == "all":
            once = os.environ.get("ONCE", "").strip() not in {"", "0"}
            return 0 if show_every_vendor(interrupted, once=once) or not once else 1
        options, exports = Options.from_environment(), ExportAccount.from_environment()
        with contextlib.ExitStack() as stack:
            simulator = None if options.endpoint else stack.enter_context(HuaweiSimulator(task_seconds=2))
            archivist = None if exports.endpoint else stack.enter_context(exports.simulator())
            aws = stack.enter_context(LocalAws(say=say))
            demonstration = Demonstration(options, aws, simulator, exports.vendor(archivist))
            demonstration.configure()
            say(f"API     {aws.stack.api_url}")
            say(f"vendor  {simulator.url + ' (simulator)' if simulator else options.endpoint}")
            say(f"exports {archivist.url + ' (simulator)' if archivist else exports.endpoint}")
            complete = demonstration.run(interrupted)
            say("ending the local AWS")
    except (LocalAwsError, PackagingError) as error:
        sys.stderr.write(f"make run: {error}\n")
        return 2
    return 0 if complete or not options.once else 1


if __name__ == "__main__":
    sys.exit(main())
