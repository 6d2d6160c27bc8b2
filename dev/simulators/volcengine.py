"""Simulate the URL blocks of Volcengine CDN and BytePlus CDN, strictly by the vendor's API pages.

In a test:

    with VolcengineSimulator(task_seconds=2, domains=["www.example.com", "*.example.org"]) as simulator:
        connect(VendorAccount("main", "volcengine", simulator.url, simulator.credentials), ...)
        simulator.add_faults({"match": "create", "kind": "reset_after"})
        simulator.stats()["doubles"]

``Identity(region="ap-singapore-1")`` makes it BytePlus: the hosts differ in the region that a signature names.

From a shell: ``python -m dev.simulators.volcengine --port 9003 --domains www.example.com --task-seconds 2``. Besides
the API it then has the controls of ``dev.simulators.huawei`` with the same bodies: ``POST /_sim/faults``, ``poison``,
``use_up_quota``, ``outage``, ``lose_ban``, ``invent_ban``, ``forget_task``, ``advance`` and ``reset``;
``GET /_sim/calls``, ``tasks``, ``banned``, ``stats`` and ``edge``. ``match`` of a fault is ``create``, ``list_tasks``
or ``any``; ``mode`` of a poison is ``refuse`` (the whole call) or ``fail_url`` (that URL fails, the others of its task
do not).

The pages are silent on three things, which are assumed here: the code when a day's quota is used up
(``InvalidParameter.Quota``), the day's zone (UTC+8), and the order of rows (newest task first).
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from dev.simulators.http_server import Reply, Request, SimulatorServer, json_reply, serve_until_interrupted
from dev.simulators.huawei_faults import Fault
from dev.simulators.huawei_state import Call
from dev.simulators.volcengine_gate import Identity, Rates, Refused, check, envelope, refusal
from dev.simulators.volcengine_state import KEPT, Account, CallLog, host
from dev.simulators.with_tasks import HTML, WithTasks

SUBMITS = {"SubmitBlockTask": "block_url", "SubmitUnblockTask": "unblock_url"}
KINDS = {"ban": "block_url", "unban": "unblock_url"}
ENDPOINTS = {"SubmitBlockTask": "create", "SubmitUnblockTask": "create", "DescribeContentBlockTasks": "list_tasks"}
ENDPOINTS |= {"DescribeContentQuota": "quota"}
VERSION = "2021-03-01"
CALLS_PER_SECOND = 20
URLS_PER_TASK = 100
URLS_PER_DAY = 3_000
URL = re.compile(r"https?://[^/?#@\s:*]+(?::\d+)?(?:[/?#]|$)", re.IGNORECASE)
TEXTS: dict[str, tuple[str, ...] | None] = {
    "TaskID": None,
    "URL": None,
    "DomainName": None,
    "Status": ("complete", "running", "failed"),
}
TEXTS |= {"TaskType": ("block_url", "unblock_url", "block_regex", "unblock_regex")}
NUMBERS = ("StartTime", "EndTime", "PageNum", "PageSize")
CONTROLS = ("poison", "use_up_quota", "outage", "lose_ban", "invent_ban", "forget_task", "advance", "reset")


class VolcengineSimulator(WithTasks):
    """The simulator. It serves in threads between ``start`` and ``stop``, or as a context manager.

    ``clock`` returns seconds since 1970. ``domains`` are the account's domains, exact or ``*.suffix``; none means that
    every domain is the account's. ``rates=False`` throttles nothing; the calls are still counted.
    """

    poisons = ("refuse", "fail_url")
    poison_code = "InvalidParameter.Urls"

    def __init__(
        self,
        *,
        port: int = 0,
        identity: Identity | None = None,
        domains: Sequence[str] = (),
        task_seconds: float = 0.0,
        rates: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.identity = identity or Identity()
        self._domains = frozenset(domain.lower() for domain in domains)
        self._task_seconds = task_seconds
        self.list_lags = 0.0
        """Seconds after which the list of tasks shows a task."""
        self._calls_per_second = CALLS_PER_SECOND if rates else 0
        self._clock = clock
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self.reset()
        self._server = SimulatorServer(self.handle, port=port)
        self.url = self._server.url

    @property
    def credentials(self) -> dict[str, str]:
        """Return the access key, under the names that edgeban's vendor accounts use."""
        return {name: value for name, value in asdict(self.identity).items() if value}

    # --- control: the same names as under /_sim/ -----------------------------------------------------------

    def reset(self) -> None:
        with self._lock:
            self.reset_controls()
            self.account = Account(task_seconds=self._task_seconds)
            self.log = CallLog()
            self._rates = Rates(self._calls_per_second)

    def use_up_quota(self, action: str = "ban", seconds: float = 60) -> None:
        with self._lock:
            self._quota_until[KINDS[action]] = self.now() + seconds

    def lose_ban(self, url: str) -> None:
        with self._lock:
            self.account.settle(self.now())
            self.account.blocked.pop(url, None)

    def invent_ban(self, url: str) -> None:
        with self._lock:
            self.account.blocked[url] = self.now()

    def forget_task(self, task_id: str) -> None:
        with self._lock:
            self.account.tasks.pop(task_id, None)

    def calls(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(call) for call in self.log.calls[after : after + limit]]

    def tasks(self) -> list[dict[str, Any]]:
        with self._lock:
            now = self.now()
            return [
                {
                    "id": task.id,
                    "kind": task.kind,
                    "created": task.created,
                    "statuses": {url: task.status(url, now) for url in task.urls},
                }
                for task in self.account.tasks.values()
            ]

    def banned(self) -> dict[str, float]:
        """Return each blocked URL with the time of its block, in seconds since 1970."""
        with self._lock:
            self.account.settle(self.now())
            return dict(self.account.blocked)

    def stats(self) -> dict[str, Any]:
        with self._lock:
            self.account.settle(self.now())
            return self.log.stats(self.account)

    def edge_status(self, url: str) -> int:
        return 403 if url in self.banned() else 200

    # --- requests ------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        if request.path.startswith("/_sim/"):
            return self._control(request)
        action = dict(parse_qsl(request.query)).get("Action", "")
        with self._lock:
            call = self.log.open(ENDPOINTS.get(action, "unknown"), self.now())
            call.action = action
        try:
            reply = self._answer(request, call)
        except Refused as refused:
            call.code = refused.code
            reply = refusal(refused, action, self.identity.region)
        call.status = 0 if reply.wire == "reset" else reply.status
        return reply

    def _answer(self, request: Request, call: Call) -> Reply:
        with self._lock:
            if (reply := self.answer_of_outage()) is not None:
                call.fault = "outage"
                return reply
            self._route(request, call)
            self._rates.check(call.action, self.now())
            fault = self._faults.take(call.endpoint)
        if fault is None:
            return self._work(request, call)
        call.fault = fault.kind
        return self._answer_with(fault, request, call)

    def _route(self, request: Request, call: Call) -> None:
        """Check everything that the gateway checks. Raises ``Refused``."""
        query = parse_qs(request.query, keep_blank_values=True)
        for name in ("Action", "Version"):
            if name not in query:
                raise Refused(400, "MissingParameter", f"The request is missing {name} parameter.")
        if (
            request.path != "/"
            or query != {"Action": [call.action], "Version": [VERSION]}
            or call.endpoint == "unknown"
        ):
            raise Refused(404, "InvalidActionOrVersion", f"Could not find operation {call.action} for this version.")
        if request.method != "POST":
            raise Refused(405, "MethodNotAllowed", "HTTP Method Not Allowed.")
        check(request, self.identity, wall=self._clock(), now=self.now())

    def _answer_with(self, fault: Fault, request: Request, call: Call) -> Reply:
        failure = Refused(500, "InternalError", fault.message)
        if fault.kind == "429":
            raise Refused(429, "FlowLimitExceeded", "Request was rejected because the request speed of this openAPI.")
        if fault.kind == "500":
            raise failure
        if fault.kind in ("error", "error_200"):
            status = 200 if fault.kind == "error_200" else fault.status or 400
            raise Refused(status, fault.code, fault.message)
        if fault.kind == "html":
            return Reply(fault.status or 200, HTML, {"Content-Type": "text/html"})
        if fault.kind == "reset_before":
            return Reply(0, wire="reset")
        if fault.kind == "slow":
            self._stopping.wait(fault.seconds)
        reply = self._work(request, call)
        if fault.kind == "500_after_effect":
            raise failure
        if fault.kind == "slow_after":
            reply.delay = fault.seconds
        if fault.kind == "reset_after":
            reply.wire = "reset"
        if fault.kind == "truncate":
            reply.wire = "truncate"
        return reply

    def _work(self, request: Request, call: Call) -> Reply:
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            raise Refused(400, "InvalidParameter.Body", "the body is not JSON") from None
        if not isinstance(body, dict) or not request.headers.get("content-type", "").startswith("application/json"):
            raise Refused(400, "InvalidParameter.Body", "the body is not a JSON object")
        with self._lock:
            if call.endpoint == "create":
                result = self._submit(body, call)
            elif call.endpoint == "list_tasks":
                result = self._list_tasks(body)
            else:
                result = self._quota()
        return json_reply(200, {**envelope(call.action, self.identity.region), "Result": result})

    def _submit(self, body: dict[str, Any], call: Call) -> dict[str, Any]:
        kind = SUBMITS[call.action]
        # A misspelt field would silently take its default: the simulator refuses it.
        known = {"UrlList", "Urls", "Type"} | ({"BlockRegion"} if kind == "block_url" else set())
        if not set(body) <= known or body.get("Type", "url") != "url":
            raise Refused(400, "InvalidParameter.Type", "an unknown field, or a type other than url")
        urls = body.get("UrlList", str(body.get("Urls", "")).split("\n"))
        if not isinstance(urls, list) or not 1 <= len(urls) <= URLS_PER_TASK:
            raise Refused(400, "InvalidParameter.Urls", f"a task has 1 to {URLS_PER_TASK} URLs")
        if not all(isinstance(url, str) and URL.match(url) for url in urls):
            raise Refused(400, "InvalidParameter.Urls", "each URL has http:// or https:// and a host, no wildcard")
        foreign = sorted({host(url) for url in urls if not self._is_ours(host(url))})
        if foreign:
            raise Refused(400, "NotFound.Domain", f"账户下无此域名:{','.join(foreign)}")
        call.urls = len(urls)
        bad: set[str] = set()
        for part, (mode, code, until) in self._poison.items():
            struck = {url for url in urls if part in url and self.now() < until}
            if struck and mode == "refuse":
                raise Refused(400, code, "参数错误")
            bad |= struck
        used_up = self.now() < self._quota_until.get(kind, 0.0)
        if used_up or self.account.spent(kind, self.now()) + len(urls) > URLS_PER_DAY:
            raise Refused(400, "InvalidParameter.Quota", "the day's quota of URLs is used up")
        task = self.account.create(kind, urls, frozenset(bad), now=self.now())
        call.task_id = task.id
        return {"TaskID": task.id}

    def _is_ours(self, name: str) -> bool:
        if not self._domains or name in self._domains:
            return True
        # "*.example.com" covers every depth below example.com, and not example.com itself
        parents = [name.split(".", depth)[-1] for depth in range(1, name.count(".") + 1)]
        return any(f"*.{parent}" in self._domains for parent in parents)

    def _list_tasks(self, body: dict[str, Any]) -> dict[str, Any]:
        for name, value in body.items():
            words = TEXTS.get(name)
            is_number = isinstance(value, int) and not isinstance(value, bool)
            fits = is_number if name in NUMBERS else isinstance(value, str) and value in (words or (value,))
            if name not in {*TEXTS, *NUMBERS} or not fits:
                raise Refused(400, f"InvalidParameter.{name}", "an unknown field, or a value that is not documented")
        if ("StartTime" in body) != ("EndTime" in body):
            raise Refused(400, "InvalidParameter.StartTime", "StartTime and EndTime go together")
        if "StartTime" in body and not 0 <= body["EndTime"] - body["StartTime"] <= KEPT:
            raise Refused(400, "InvalidParameter.StartTime", "the span of time is 0 to 92 days")
        page, size = body.get("PageNum", 1), body.get("PageSize", 10)
        if not (page >= 1 and 1 <= size <= 1_000):
            raise Refused(400, "InvalidParameter.PageSize", "PageNum is 1 or more, PageSize 1 to 1000")
        rows = self.account.rows(body, now=self.now(), shown_before=self.now() - self.list_lags)
        data = rows[(page - 1) * size : page * size]
        return {"Total": len(rows), "PageNum": page, "PageSize": size, "Data": data}

    def _quota(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, kind in (("Block", "block_url"), ("Unblock", "unblock_url")):
            remain = URLS_PER_DAY - self.account.spent(kind, self.now())
            result |= {f"{name}Quota": URLS_PER_DAY, f"{name}Limit": URLS_PER_TASK, f"{name}Remain": remain}
        return result

    def _control(self, request: Request) -> Reply:
        name = request.path.removeprefix("/_sim/")
        query = dict(parse_qsl(request.query))
        try:
            if request.method == "GET":
                return self._show(name, query)
            body = json.loads(request.body or b"{}")
            if name == "faults":
                self.add_faults(*(body if isinstance(body, list) else [body]))
            elif name in CONTROLS:
                getattr(self, name)(**body)
            else:
                return json_reply(404, {"error": f"no such control: {name}"})
        except (ValueError, TypeError) as exc:
            return json_reply(400, {"error": str(exc)})
        return json_reply(200, {})

    def _show(self, name: str, query: dict[str, str]) -> Reply:
        if name == "calls":
            return json_reply(200, self.calls(int(query.get("after", "0")), int(query.get("limit", "1000"))))
        if name == "edge":
            status = self.edge_status(query.get("url", ""))
            return json_reply(status, {"url": query.get("url", ""), "banned": status == 403})
        if name in ("tasks", "banned", "stats"):
            return json_reply(200, getattr(self, name)())
        return json_reply(404, {"error": f"no such view: {name}"})


def main() -> None:
    defaults = Identity()
    parser = argparse.ArgumentParser(prog="python -m dev.simulators.volcengine", description="Simulate Volcengine CDN.")
    parser.add_argument("--port", type=int, default=9003)
    parser.add_argument("--domains", default="", help="the account's domains, with commas between; none: all")
    parser.add_argument("--task-seconds", type=float, default=0.0, help="how long a task takes")
    parser.add_argument("--no-rates", action="store_true", help="throttle nothing")
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=value)
    options = parser.parse_args()
    simulator = VolcengineSimulator(
        port=options.port,
        identity=Identity(**{name: getattr(options, name) for name in asdict(defaults)}),
        domains=[domain for domain in options.domains.split(",") if domain],
        task_seconds=options.task_seconds,
        rates=not options.no_rates,
    )
    print(f"Volcengine CDN simulator: {simulator.url}", flush=True)
    serve_until_interrupted(simulator)


if __name__ == "__main__":
    main()
