"""Simulate Huawei Cloud CDN's URL bans and the IAM tokens for them, strictly by the vendor's API pages.

In a test:

    with HuaweiSimulator(task_seconds=2, domains=["www.example.com", "*.example.org"]) as simulator:
        connect(VendorAccount(..., endpoint=simulator.url, credentials=simulator.credentials), ...)
        simulator.add_faults({"match": "create", "kind": "reset_after"})
        simulator.stats()["doubles"]

From a shell: ``python -m dev.simulators.huawei --port 9001 --domains www.example.com --task-seconds 2`` (``--help``
names the rest). Then, besides the API and ``POST /v3/auth/tokens``, all bodies and answers JSON:

    POST /_sim/faults      [{"match": "create|list_tasks|list_banned|token|any", "kind": ..., "times": 1, ...}]: adds
                           faults (kinds and fields: huawei_faults.py); an empty list clears them
    POST /_sim/poison      {"url_contains": ..., "mode": "refuse|fail_task", "code": "CDN.0001"}: a create with such a
                           URL is refused as a whole, or makes a task that fails; "seconds" or {"mode": "none"} end this
    POST /_sim/use_up_quota {"action": "ban|unban", "seconds": 60}: each create of the action answers CDN.0005
    POST /_sim/outage      {"seconds": 60} or {"on": true}, "kind": "503|reset": every call fails, nothing is done
    POST /_sim/lose_ban    {"url": ...}: ends the ban          POST /_sim/invent_ban  {"url": ..., "days": 7}
    POST /_sim/forget_task {"task_id": ...}: its work continues, but the list no longer shows it
    POST /_sim/advance     {"seconds": 86400}: tasks, bans, tokens and locks age. Signatures are valid by either clock
    POST /_sim/reset       {}: forgets everything, faults too
    GET  /_sim/calls?after=0&limit=1000    each call: n, time, endpoint, action, urls, status (0: reset), code, task_id
    GET  /_sim/tasks       all tasks (urls=1: with their URLs)  GET  /_sim/banned  the URLs in force and their ends
    GET  /_sim/stats       counts, the most calls in any second, doubles (creates that ban a URL while an earlier ban of
                           it is processing or in force; a renewal before the end is one)
    GET  /_sim/edge?url=   what a visitor gets: 403 if the URL is banned, else 200
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
from urllib.parse import unquote

from dev.simulators.http_server import (
    Reply,
    Request,
    SimulatorServer,
    WireFault,
    json_reply,
    serve_until_interrupted,
)
from dev.simulators.huawei_faults import Fault
from dev.simulators.huawei_gate import Gate, Identity, Rates, Refused, gateway_refusal
from dev.simulators.huawei_state import DAY, Account, Call, CallLog
from dev.simulators.with_tasks import HTML, WithTasks

ROUTES = {
    ("POST", "/v1.0/cdn/content/access-control-urls/ban"): "create",
    ("POST", "/v1.0/cdn/content/access-control-urls/unban"): "create",
    ("GET", "/v1.0/cdn/content/access-control-tasks"): "list_tasks",
    ("GET", "/v1.0/cdn/content/ban-urls"): "list_banned",
    ("POST", "/v3/auth/tokens"): "token",
}
RATES = {"create": 10, "list_tasks": 30, "list_banned": 30}
HOST = re.compile(r"https?://([^/?#@\s:]+|\[[0-9a-fA-F:.]+\])(?::\d+)?(?:[/?#]|$)", re.IGNORECASE)


class HuaweiSimulator(WithTasks):
    """The simulator. It serves in threads between ``start`` and ``stop``, or as a context manager.

    ``clock`` returns seconds since 1970. ``domains`` are the tenant's acceleration domains, exact or ``*.suffix``; none
    means that every domain is the tenant's. ``rates=False`` throttles nothing; the calls are still counted.
    """

    poisons = ("refuse", "fail_task")
    poison_code = "CDN.0001"

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
        self._rate_limits = RATES if rates else {}
        self._clock = clock
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self.reset()
        self._server = SimulatorServer(self.handle, port=port)
        self.url = self._server.url

    @property
    def credentials(self) -> dict[str, str]:
        """Return the access key, under the names that edgeban's vendor accounts use."""
        named = {
            "access_key": self.identity.access_key,
            "secret_key": self.identity.secret_key,
            "security_token": self.identity.security_token,
            "domain_id": self.identity.domain_id,
        }
        return {name: value for name, value in named.items() if value}

    @property
    def token_credentials(self) -> dict[str, str]:
        """Return the IAM user for tokens, under the names that edgeban's vendor accounts use."""
        user = {"user": self.identity.user, "password": self.identity.password, "domain": self.identity.domain}
        return {**user, "iam_endpoint": self.url}

    # --- control: the same names as under /_sim/ -----------------------------------------------------------

    def reset(self) -> None:
        with self._lock:
            self.reset_controls()
            self.account = Account(task_seconds=self._task_seconds)
            self.log = CallLog()
            self._gate = Gate(self.identity)
            self._rates = Rates(self._rate_limits)

    def use_up_quota(self, action: str = "ban", seconds: float = 60) -> None:
        with self._lock:
            self._quota_until[action] = self.now() + seconds

    def lose_ban(self, url: str) -> None:
        with self._lock:
            self.account.settle(self.now())
            self.account.bans.pop(url, None)

    def invent_ban(self, url: str, days: float = 7) -> None:
        with self._lock:
            self.account.ban(url, days, self.now())

    def forget_task(self, task_id: str) -> None:
        with self._lock:
            self.account.tasks.pop(task_id, None)

    def calls(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(call) for call in self.log.calls[after : after + limit]]

    def tasks(self, urls: bool = False) -> list[dict[str, Any]]:
        with self._lock:
            self.account.settle(self.now())
            return [
                {
                    "id": task.id,
                    "action": task.action,
                    "state": task.state,
                    "created": task.created,
                    "days": task.days,
                    "url_count": len(task.urls),
                    **({"urls": list(task.urls)} if urls else {}),
                }
                for task in self.account.tasks.values()
            ]

    def banned(self) -> dict[str, float]:
        """Return each banned URL with the end of its ban, in seconds since 1970."""
        with self._lock:
            now = self.now()
            self.account.settle(now)
            return {url: ban.ends for url, ban in self.account.bans.items() if ban.ends > now}

    def stats(self) -> dict[str, Any]:
        with self._lock:
            return self.log.stats(self.account) | {"banned": len(self.banned())}

    def edge_status(self, url: str) -> int:
        with self._lock:
            self.account.settle(self.now())
            return 403 if self.account.in_force(url, self.now()) else 200

    # --- requests ------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        if request.path.startswith("/_sim/"):
            return self._control(request)
        endpoint = ROUTES.get((request.method, request.path), "unknown")
        with self._lock:
            call = self.log.open(endpoint, self.now())
            if endpoint == "create":
                call.action = request.path.rpartition("/")[2]
        reply = self._answer(request, endpoint, call)
        call.status = 0 if reply.wire == "reset" else reply.status
        return reply

    def _answer(self, request: Request, endpoint: str, call: Call) -> Reply:
        try:
            with self._lock:
                now = self.now()
                if (reply := self.answer_of_outage()) is not None:
                    call.fault = "outage"
                    return reply
                if endpoint == "unknown":
                    raise gateway_refusal(404, "APIGW.0101", "The API does not exist or has not been published")
                if endpoint != "token":
                    self._gate.check(request, wall=self._clock(), now=now)
                    self._rates.check(endpoint, now)
                fault = self._faults.take(endpoint)
            if fault is not None:
                call.fault = fault.kind
                return self._answer_with(fault, request, endpoint, call)
            return self._work(request, endpoint, call)
        except Refused as refused:
            call.code = refused.code
            return refused.reply

    def _answer_with(self, fault: Fault, request: Request, endpoint: str, call: Call) -> Reply:
        if fault.kind == "429":
            raise gateway_refusal(
                429, "APIGW.0308", "The throttling threshold has been reached: policy user over limit"
            )
        if fault.kind == "500":
            raise refusal(endpoint, 500, "CDN.0000", fault.message)
        if fault.kind == "error":
            raise refusal(endpoint, fault.status or 400, fault.code, fault.message)
        if fault.kind == "error_200":
            raise refusal(endpoint, 200, fault.code or "CDN.0106", fault.message)
        if fault.kind == "html":
            return Reply(fault.status or 200, HTML, {"Content-Type": "text/html"})
        if fault.kind == "reset_before":
            return Reply(0, wire="reset")
        if fault.kind == "slow":
            self._stopping.wait(fault.seconds)
        reply = self._work(request, endpoint, call)
        if fault.kind == "500_after_effect":
            raise refusal(endpoint, 500, "CDN.0000", fault.message)
        if fault.kind == "slow_after":
            reply.delay = fault.seconds
        if fault.kind == "reset_after":
            reply.wire = "reset"
        if fault.kind == "truncate":
            reply.wire = "truncate"
        return reply

    def _work(self, request: Request, endpoint: str, call: Call) -> Reply:
        if endpoint == "create":
            return self._create(request, call)
        if endpoint == "list_tasks":
            return self._list_tasks(request)
        if endpoint == "list_banned":
            return self._list_banned(request)
        with self._lock:
            return self._gate.issue_token(request, now=self.now())

    def _create(self, request: Request, call: Call) -> Reply:
        urls, days = _read_create(request)
        call.urls = len(urls)
        fails = False
        if self.now() < self._quota_until.get(call.action, 0.0):
            raise refusal("create", 200, "CDN.0005", "the upper limit of the day is exceeded")
        for part, (mode, code, until) in list(self._poison.items()):
            if self.now() < until and any(part in url for url in urls):
                if mode == "refuse":
                    raise refusal("create", 400, code, "parameter error")
                fails = True
        if self._domains and not all(self._is_ours(url) for url in urls):
            text = "The URL domain name is not the acceleration domain name of the current tenant"
            raise refusal("create", 200, "CDN.0108", text)
        with self._lock:
            task = self.account.create(call.action, urls, days, now=self.now(), fails=fails)
            self.log.creates.append(len(urls))
        call.task_id = task.id
        return json_reply(200, {"task_id": task.id})

    def _is_ours(self, url: str) -> bool:
        match = HOST.match(url)
        host = match.group(1).lower() if match else ""
        while host:
            if host in self._domains:
                return True
            # "*.example.com" covers every depth below example.com, and not example.com itself
            _, _, parent = host.removeprefix("*.").partition(".")
            host = f"*.{parent}" if parent else ""
        return False

    def _list_tasks(self, request: Request) -> Reply:
        query = _read_query(request, "list_tasks", {"start_time", "end_time", "offset", "limit", "status"})
        status = query.pop("status", "")
        if status not in ("", "processing", "succeed", "failed"):
            raise refusal("list_tasks", 400, "CDN.0001", "status")
        numbers = _numbers(query, "list_tasks")
        now = self.now()
        start, end = _window(numbers, "list_tasks", (now - 3 * DAY) * 1000, now * 1000)
        if end - start > 7 * DAY * 1000:
            raise refusal("list_tasks", 400, "CDN.0001", "the span of time is longer than 7 days")
        offset, limit = numbers.get("offset", 0), numbers.get("limit", 10)
        if not 1 <= limit <= 100:
            raise refusal("list_tasks", 400, "CDN.0001", "limit is not between 1 and 100")
        with self._lock:
            self.account.settle(now)
            tasks = self.account.find_tasks(start, min(end, (now - self.list_lags) * 1000), status)
            shown = ", ".join(task.to_json() for task in tasks[offset : offset + limit])
        return Reply(200, f'{{"total": {len(tasks)}, "access_control_tasks": [{shown}]}}'.encode())

    def _list_banned(self, request: Request) -> Reply:
        query = _read_query(request, "list_banned", {"start_time", "end_time", "page_size", "page_number", "url"})
        url = query.pop("url", "")
        numbers = _numbers(query, "list_banned")
        start, end = _window(numbers, "list_banned", 0, float("inf"))
        if ("page_size" in numbers) != ("page_number" in numbers):
            raise refusal("list_banned", 400, "CDN.0001", "page_size and page_number go together")
        size, page = numbers.get("page_size", 10), numbers.get("page_number", 1)
        if not (1 <= size <= 50 and 1 <= page <= 65_535):
            raise refusal("list_banned", 400, "CDN.0001", "page_size is 1 to 50, page_number 1 to 65535")
        with self._lock:
            now = self.now()
            self.account.settle(now)
            bans = self.account.find_bans(start, end, url, now)
            rows = [
                {
                    "type": "static",
                    "url": name,
                    "create_time": int(ban.created * 1000),
                    "modify_time": int(ban.modified * 1000),
                }
                for name, ban in bans[(page - 1) * size : page * size]
            ]
        return json_reply(200, {"total": len(bans), "ban_urls": rows})

    def _control(self, request: Request) -> Reply:
        name = request.path.removeprefix("/_sim/")
        query = dict(_split_query(request.query))
        try:
            if request.method == "GET":
                return self._show(name, query)
            body = json.loads(request.body or b"{}")
            if name == "faults":
                self.add_faults(*(body if isinstance(body, list) else [body]))
            elif name in (
                "poison",
                "use_up_quota",
                "outage",
                "lose_ban",
                "invent_ban",
                "forget_task",
                "advance",
                "reset",
            ):
                getattr(self, name)(**body)
            else:
                return json_reply(404, {"error": f"no such control: {name}"})
        except (ValueError, TypeError) as exc:
            return json_reply(400, {"error": str(exc)})
        return json_reply(200, {})

    def _show(self, name: str, query: dict[str, str]) -> Reply:
        if name == "calls":
            return json_reply(200, self.calls(int(query.get("after", "0")), int(query.get("limit", "1000"))))
        if name == "tasks":
            return json_reply(200, self.tasks(urls=query.get("urls") == "1"))
        if name == "banned":
            return json_reply(200, self.banned())
        if name == "stats":
            return json_reply(200, self.stats())
        if name == "edge":
            status = self.edge_status(query.get("url", ""))
            return json_reply(status, {"url": query.get("url", ""), "banned": status == 403})
        return json_reply(404, {"error": f"no such view: {name}"})


def refusal(endpoint: str, status: int, code: str, text: str) -> Refused:
    """Make an error of CDN: nested for creates, flat for lists. A gateway's code has the gateway's shape."""
    if code.startswith(("APIGW.", "APIG.")):
        return gateway_refusal(status, code, text)
    error = {"error_code": code, "error_msg": text}
    return Refused(json_reply(status, {"error": error} if endpoint == "create" else error), code)


def _read_create(request: Request) -> tuple[list[str], int]:
    try:
        document = json.loads(request.body)
    except ValueError:
        raise refusal("create", 400, "CDN.0001", "the body is not JSON") from None
    fields = document.get("access_control_urls") if isinstance(document, dict) else None
    if not isinstance(fields, dict) or set(document) != {"access_control_urls"}:
        raise refusal("create", 400, "CDN.0001", "access_control_urls is missing, or not alone")
    # A misspelt field would silently take its default: the simulator refuses it.
    if not set(fields) <= {"urls", "ban_duration"}:
        raise refusal("create", 400, "CDN.0001", "an unknown field in access_control_urls")
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise refusal("create", 400, "CDN.0001", "Content-Type")
    urls, days = fields.get("urls"), fields.get("ban_duration", 7)
    if not isinstance(urls, list) or not 1 <= len(urls) <= 1000:
        raise refusal("create", 400, "CDN.0001", "urls has 1 to 1000 entries")
    if not all(isinstance(url, str) and HOST.match(url) for url in urls):
        raise refusal("create", 400, "CDN.0001", "each URL has http:// or https:// and a host")
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= 30:
        raise refusal("create", 400, "CDN.0001", "ban_duration is 1 to 30")
    return urls, days


def _split_query(query: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in query.split("&") if part]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _read_query(request: Request, endpoint: str, known: set[str]) -> dict[str, str]:
    pairs = _split_query(request.query)
    query = dict(pairs)
    if len(query) < len(pairs) or not set(query) <= known:
        raise refusal(endpoint, 400, "CDN.0001", "an unknown or repeated parameter")
    return query


def _numbers(query: dict[str, str], endpoint: str) -> dict[str, int]:
    if not all(value.isascii() and value.isdigit() for value in query.values()):
        raise refusal(endpoint, 400, "CDN.0001", f"{', '.join(query)}: numbers")
    return {name: int(value) for name, value in query.items()}


def _window(numbers: dict[str, int], endpoint: str, start: float, end: float) -> tuple[float, float]:
    if ("start_time" in numbers) != ("end_time" in numbers):
        raise refusal(endpoint, 400, "CDN.0001", "start_time and end_time go together")
    if "start_time" in numbers:
        start, end = numbers["start_time"], numbers["end_time"]
    if start > end:
        raise refusal(endpoint, 400, "CDN.0001", "start_time is after end_time")
    return start, end


def main() -> None:
    defaults = Identity()
    parser = argparse.ArgumentParser(prog="python -m dev.simulators.huawei", description="Simulate Huawei Cloud CDN.")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--domains", default="", help="the tenant's domains, with commas between; none: all")
    parser.add_argument("--task-seconds", type=float, default=0.0, help="how long a task takes")
    parser.add_argument("--answer-seconds", type=float, default=0.0, help="how late each answer comes")
    parser.add_argument("--no-rates", action="store_true", help="throttle nothing")
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = parser.parse_args()
    simulator = HuaweiSimulator(
        port=options.port,
        identity=Identity(**{name: getattr(options, name) for name in asdict(defaults)}),
        domains=[domain for domain in options.domains.split(",") if domain],
        task_seconds=options.task_seconds,
        rates=not options.no_rates,
    )
    if options.answer_seconds:
        simulator.break_wire(WireFault("late", times=0, seconds=options.answer_seconds))
    print(f"Huawei Cloud CDN simulator: {simulator.url}", flush=True)
    serve_until_interrupted(simulator)


if __name__ == "__main__":
    main()
