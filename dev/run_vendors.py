"""``make run VENDORS=all``: one report, banned at every CDN, on a local AWS with the packaged app in it.

Each vendor is a strict simulator. Shown are the seconds from the report to the 403 at each edge, what the API says of
the URL, and the seconds of an unban.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Sequence

from chalicelib.aws.dynamodb import Table
from dev.local_aws import LocalAws
from dev.progress import Ticker
from dev.showing import UNCAPPED, say
from dev.simulators.huawei import HuaweiSimulator
from dev.stack import TOKEN, WEBHOOK_SECRET, Stack
from dev.vendors import Behaviour, SimulatedAccount, simulated

URLS = [f"https://shop.example.com/login?session={number}" for number in range(3)]
PATIENCE_SECONDS = 120.0


def show_every_vendor(interrupted: threading.Event, *, once: bool) -> bool:
    """Ban at all vendors, then unban; return whether each vendor's edge did both."""
    accounts = simulated(behaviour=Behaviour(seconds=2))
    with contextlib.ExitStack() as stack:
        for account in accounts:
            account.simulator.start()
            stack.callback(account.simulator.stop)
        aws = stack.enter_context(LocalAws(say=say))
        _configure(aws, accounts)
        for function, seconds in (("track_tasks", 1.0), ("sweep", 2.0)):
            ticker = Ticker(aws, function, seconds)
            ticker.start()
            stack.callback(ticker.stop)
        huawei = accounts[0].simulator
        assert isinstance(huawei, HuaweiSimulator)
        deployed = Stack(aws, huawei, Table(aws.dynamodb, aws.stack.table))
        say("")
        say(f"one report of {len(URLS)} URLs, whose host {len(accounts)} CDN accounts serve")
        began = time.monotonic()
        answer = deployed.report(URLS)
        say(f"{time.monotonic() - began:6.1f} s  accepted as {answer.json().get('report_id', answer.text)}")
        complete = _until_edges(accounts, 403, began, interrupted)
        for row in deployed.get("urls", url=URLS[0]).json().get("accounts", []):
            say(f"          the API says of {row['account']:16} {row['state']:10} until {row.get('until')}")
        began = time.monotonic()
        deployed.ask("unbans", urls=URLS, reason="the demonstration ends")
        say(f"{time.monotonic() - began:6.1f} s  a person unbans them")
        complete = _until_edges(accounts, 200, began, interrupted) and complete
        say("every CDN banned and unbanned the URLs" if complete else "NOT every CDN did")
        if not once:
            say("Ctrl-C ends it all")
            interrupted.wait()
    return complete


def _configure(aws: LocalAws, accounts: Sequence[SimulatedAccount]) -> None:
    aws.configure(
        sources={"demo": {"auth": "standard-webhooks", "secrets": [WEBHOOK_SECRET], "format": "native"}},
        operators={"demo-operator": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "operator"}},
        vendors={account.name: account.configuration for account in accounts},
        policy={
            "version": 1,
            "accounts": {account.name: {"managed_domains": ["*.example.com"]} for account in accounts},
            "caps": UNCAPPED,
        },
    )


def _until_edges(accounts: Sequence[SimulatedAccount], status: int, began: float, interrupted: threading.Event) -> bool:
    """Show when each vendor's edge answers a status for all URLs; return whether all did in time."""
    waiting = {account.name: account for account in accounts}
    while waiting and time.monotonic() - began < PATIENCE_SECONDS and not interrupted.wait(0.05):
        for name, account in list(waiting.items()):
            if all(account.simulator.edge_status(url) == status for url in URLS):
                del waiting[name]
                calls = len(account.simulator.calls())
                say(f"{time.monotonic() - began:6.1f} s  {name:16} answers {status} ({calls} calls so far)")
    for name in waiting:
        say(f"          {name:16} does not answer {status}")
    return not waiting
