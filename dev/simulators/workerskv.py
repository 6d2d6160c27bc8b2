"""Simulate Cloudflare Workers KV's API as far as edgeban calls it, strictly by the vendor's API pages.

In a test:

    with WorkersKvSimulator() as simulator:
        connect(VendorAccount(..., endpoint=simulator.url, credentials=simulator.credentials), ...)
        simulator.add_faults({"match": "write", "kind": "reset_after"})
        simulator.edge_status("https://www.example.com/1")

From a shell: ``python -m dev.simulators.workerskv --port 9004``. Besides the API there are, all in JSON:

    POST /_sim/faults   [{"match": "write|delete|read|list|any", "kind": ..., "times": 1, ...}]: adds faults
    POST /_sim/advance  {"seconds": 86400}           POST /_sim/fail_keys  {"containing": "bad"}, "" ends it
    GET  /_sim/calls    each call: endpoint, keys, status (0: reset), code
    GET  /_sim/banned   the values of the keys in force        GET  /_sim/edge?url=  403 if the Worker would answer so
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, unquote

from dev.simulators.http_server import Logged, Reply, Request, SimulatorServer, json_reply, serve_until_interrupted
from dev.simulators.workerskv_state import Namespace, Pair, UserRate, edge_key

BASE = "/client/v4"
ENDPOINTS = {("PUT", "/bulk"): "write", ("POST", "/bulk/delete"): "delete", ("POST", "/bulk/get"): "read"}
ENDPOINTS[("GET", "/keys")] = "list"
MAX_KEY = 512
MAX_KEYS = 10_000
MAX_READ = 100
MAX_WRITE_BODY = 100_000_000
FIELDS = {"key", "value", "expiration", "expiration_ttl", "metadata", "base64"}
FREE_WRITES = 1_000
DAY = 86_400.0

Kind = Literal[
    "error",  # `status` with `code`, nothing done
    "html",  # a page instead of JSON (`status`), nothing done
    "error_after",  # HTTP 500, but the work is done
    "reset_before",  # the connection is reset, nothing done
    "reset_after",  # done, then the connection is reset: the answer is lost
    "truncate",  # done, then half of the answer's body arrives
    "slow_after",  # done, then it waits `seconds` before it answers
    "body",  # done, then answers with `message` as the body
]


@dataclass
class Fault:
    """One fault. ``times`` 0 means without end."""

    match: Literal["write", "delete", "read", "list", "any"]
    kind: Kind
    times: int = 1
    status: int = 500
    code: int = 0
    message: str = "made by a fault"
    seconds: float = 1.0
    retry_after: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no such fault: {self.kind}")


@dataclass
class Call:
    """One line of the log. ``status`` 0 means that the connection was reset instead of an answer."""

    endpoint: str
    time: float
    keys: int = 0
    status: int = 0
    code: int = 0


class Refused(Exception):
    """The call is refused with this reply."""

    def __init__(self, status: int, code: int, text: str, **headers: str) -> None:
        super().__init__(text)
        errors = [{"code": code, "message": text}] if code else []
        document = {"result": None, "success": False, "errors": errors, "messages": []}
        self.reply = json_reply(status, document, cf_ray=secrets.token_hex(8), **headers)
        self.code = code


class WorkersKvSimulator(Logged):
    """The simulator. It serves in threads between ``start`` and ``stop``, or as a context manager.

    ``clock`` returns seconds since 1970. ``rates=False`` throttles nothing. ``free_plan`` allows 1,000 writes a day.
    ``settle_seconds`` is how late the edge sees a change.
    """

    fault = Fault

    def __init__(
        self,
        *,
        port: int = 0,
        rates: bool = True,
        free_plan: bool = False,
        settle_seconds: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credentials = {
            "api_token": "SimulatorToken-0123456789abcdefghijklmnopqrstuv",
            "account_id": "00112233445566778899aabbccddeeff",
            "namespace_id": "ffeeddccbbaa99887766554433221100",
        }
        self._rates, self._free_plan, self._clock = rates, free_plan, clock
        self._lock = threading.RLock()
        self._advanced = 0.0
        self._faults: list[Fault] = []
        self._failing = ""
        self._user = UserRate()
        self._writes: dict[int, int] = {}
        self.namespace = Namespace(settle_seconds)
        self.log: list[Call] = []
        self._server = SimulatorServer(self.handle, port=port)
        self.url = self._server.url + BASE

    # --- control -------------------------------------------------------------------------------------------

    def fail_keys(self, containing: str) -> None:
        """Name the keys with this text as unsuccessful instead of writing or deleting them; "" ends it."""
        with self._lock:
            self._failing = containing

    def banned(self) -> dict[str, float | None]:
        """Return each banned URL with the end of its ban, in seconds since 1970."""
        with self._lock:
            return {pair.value: pair.expiration for pair in self.namespace.live(self.now()).values()}

    def edge_status(self, url: str) -> int:
        with self._lock:
            return 403 if self.namespace.at_edge(edge_key(url), self.now()) else 200

    # --- requests ------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        if request.path.startswith("/_sim/"):
            return self._control(request)
        with self._lock:
            path = request.path.removeprefix(BASE)
            namespace = re.fullmatch(r"/accounts/([^/]+)/storage/kv/namespaces/([^/]+)(/.*)", path)
            endpoint = ENDPOINTS.get((request.method, namespace[3]), "unknown") if namespace else "unknown"
            call = Call(endpoint, self.now())
            self.log.append(call)
            try:
                self._check(request, namespace, endpoint)
                reply = self._answer(request, endpoint, call)
            except Refused as refused:
                reply, call.code = refused.reply, refused.code
            call.status = 0 if reply.wire == "reset" else reply.status
            return reply

    def _check(self, request: Request, namespace: re.Match[str] | None, endpoint: str) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not re.fullmatch(r"[A-Za-z0-9_-]{40,}", token):
            raise Refused(400, 6003, "Invalid request headers")
        if token != self.credentials["api_token"]:
            raise Refused(401, 10000, "Authentication error")
        if namespace is None or not re.fullmatch(r"[0-9a-f]{32}", namespace[1]):
            raise Refused(400, 7003, "Could not route to the path, perhaps your object identifier is invalid?")
        if namespace[1] != self.credentials["account_id"]:
            raise Refused(403, 10000, "Authentication error")
        if namespace[2] != self.credentials["namespace_id"]:
            raise Refused(404, 10013, "list keys: 'namespace not found'")
        if endpoint == "unknown":
            raise Refused(405, 7001, "Method not allowed for this uri")
        if self._rates and (wait := self._user.seconds_to_wait(self.now())):
            text = "Please wait and consider throttling your request speed"
            raise Refused(429, 971, text, Retry_After=str(int(wait) + 1))

    def _answer(self, request: Request, endpoint: str, call: Call) -> Reply:
        fault = next((fault for fault in self._faults if fault.match in ("any", endpoint)), None)
        if fault is None:
            return self._work(request, endpoint, call)
        if fault.times:
            fault.times -= 1
            if not fault.times:
                self._faults.remove(fault)
        if fault.kind == "error":
            headers = {"Retry_After": fault.retry_after} if fault.retry_after else {}
            raise Refused(fault.status, fault.code, fault.message, **headers)
        if fault.kind == "html":
            return Reply(fault.status, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
        if fault.kind == "reset_before":
            return Reply(0, wire="reset")
        reply = self._work(request, endpoint, call)
        if fault.kind == "error_after":
            raise Refused(500, 0, "")
        if fault.kind == "body":
            return Reply(200, fault.message.encode())
        if fault.kind == "slow_after":
            reply.delay = fault.seconds
        else:
            reply.wire = "truncate" if fault.kind == "truncate" else "reset"
        return reply

    def _work(self, request: Request, endpoint: str, call: Call) -> Reply:
        if endpoint == "list":
            return self._list(request)
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise Refused(400, 10012, "the Content-Type is not application/json")
        try:
            document = json.loads(request.body)
        except ValueError:
            raise Refused(400, 10012, "could not parse the body as JSON") from None
        if endpoint == "read":
            return self._read(document, call)
        pairs: dict[str, Pair | None] = {}
        if endpoint == "write":
            if len(request.body) > MAX_WRITE_BODY:
                raise Refused(413, 0, "")
            for row in _list_of(document, MAX_KEYS):
                pairs[_key(row.get("key") if isinstance(row, dict) else None)] = _pair(row, self.now())
        else:
            pairs = {_key(key): None for key in _list_of(document, MAX_KEYS)}
        call.keys = len(pairs)
        return self._change(pairs)

    def _change(self, pairs: Mapping[str, Pair | None]) -> Reply:
        """Put pairs, and delete the keys whose pair is ``None``."""
        now = self.now()
        if self._rates and self.namespace.written_within_a_second(pairs, now):
            raise Refused(429, 0, "")
        day = int(now // DAY)
        if self._free_plan and self._writes.get(day, 0) + len(pairs) > FREE_WRITES:
            raise Refused(429, 10048, "your account has reached the free usage limit for this operation for today")
        failed = [key for key in pairs if self._failing and self._failing in key]
        for key in pairs.keys() - set(failed):
            pair = pairs[key]
            if pair is None:
                self.namespace.delete(key, now)
            else:
                self.namespace.put(key, pair, now)
        self._writes[day] = self._writes.get(day, 0) + len(pairs) - len(failed)
        return _success({"successful_key_count": len(pairs) - len(failed), "unsuccessful_keys": failed})

    def _read(self, document: object, call: Call) -> Reply:
        if not isinstance(document, dict) or not set(document) <= {"keys", "type", "withMetadata"}:
            raise Refused(400, 10012, "the body is an object with keys")
        keys = document.get("keys")
        if isinstance(keys, list) and len(keys) > MAX_READ:
            raise Refused(400, 10029, f"bulk get keys: 'You can request a maximum of {MAX_READ} keys'")
        call.keys = len(_list_of(keys, MAX_READ))
        live = self.namespace.live(self.now())
        return _success({"values": {key: live[key].value if key in live else None for key in map(_key, keys or ())}})

    def _list(self, request: Request) -> Reply:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        limit = query.get("limit", "1000")
        if not set(query) <= {"limit", "cursor", "prefix"} or not limit.isdigit() or not 10 <= int(limit) <= 1000:
            raise Refused(400, 10012, "limit is 10 to 1000, and there are limit, cursor and prefix")
        after = bytes.fromhex(query["cursor"]).decode() if query.get("cursor") else ""
        live = self.namespace.live(self.now())
        keys = [key for key in live if key.startswith(query.get("prefix", "")) and key.encode() > after.encode()]
        page = keys[: int(limit)]
        rows: list[dict[str, Any]] = [{"name": key} for key in page]
        for row in rows:
            if (expiration := live[row["name"]].expiration) is not None:
                row["expiration"] = expiration
        cursor = page[-1].encode().hex() if len(page) < len(keys) else ""
        return _success(rows, result_info={"count": len(page), "cursor": cursor})

    def _control(self, request: Request) -> Reply:
        name = request.path.removeprefix("/_sim/")
        if request.method == "GET":
            if name == "edge":
                url = unquote(request.query.partition("url=")[2])
                return json_reply(self.edge_status(url), {"url": url})
            views: dict[str, Callable[[], object]] = {"calls": self.calls, "banned": self.banned}
            return json_reply(200, views[name]()) if name in views else json_reply(404, {"error": "no such view"})
        try:
            body = json.loads(request.body or b"{}")
            if name == "faults":
                self.add_faults(*body)
            elif name in ("advance", "fail_keys"):
                getattr(self, name)(**body)
            else:
                return json_reply(404, {"error": f"no such control: {name}"})
        except (ValueError, TypeError) as exc:
            return json_reply(400, {"error": str(exc)})
        return json_reply(200, {})


def _success(result: object, **more: object) -> Reply:
    return json_reply(200, {"result": result, "success": True, "errors": [], "messages": [], **more})


def _list_of(document: object, most: int) -> Sequence[Any]:
    if not isinstance(document, list) or not 1 <= len(document) <= most:
        raise Refused(400, 10012, f"a list of 1 to {most} is needed")
    return document


def _key(key: object) -> str:
    if not isinstance(key, str) or key in ("", ".", "..") or not key.isprintable() or re.search(r"\s", key):
        raise Refused(400, 10022, "put: 'key is empty, or holds white space or a sign that cannot be printed'")
    if len(key.encode()) > MAX_KEY:
        raise Refused(
            400, 10022, f"put: 'UTF-8 encoded length of {len(key.encode())} exceeds key length limit of 512.'"
        )
    return key


def _pair(row: Mapping[str, Any], now: float) -> Pair:
    # A misspelt field would silently make a key that stays for ever: the simulator refuses it.
    if not set(row) <= FIELDS or not isinstance(row.get("value"), str):
        raise Refused(400, 10012, "put: 'an unknown field, or no value'")
    expiration = row.get("expiration")
    if "expiration_ttl" in row:
        ttl = row["expiration_ttl"]
        if type(ttl) is not int or ttl < 60:
            raise Refused(400, 10012, "put: 'Invalid expiration_ttl. Expiration TTL must be at least 60'")
        expiration = now + ttl
    elif expiration is not None and (type(expiration) is not int or expiration < now + 60):
        raise Refused(400, 10012, "put: 'Invalid expiration. Please specify one at least 60 seconds in the future'")
    return Pair(row["value"], expiration, row.get("metadata"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.simulators.workerskv", description="Simulate Workers KV.")
    parser.add_argument("--port", type=int, default=9004)
    parser.add_argument("--settle-seconds", type=float, default=0.0, help="how late the edge sees a change")
    parser.add_argument("--free-plan", action="store_true", help="allow 1,000 writes a day")
    parser.add_argument("--no-rates", action="store_true", help="throttle nothing")
    options = parser.parse_args()
    simulator = WorkersKvSimulator(
        port=options.port,
        rates=not options.no_rates,
        free_plan=options.free_plan,
        settle_seconds=options.settle_seconds,
    )
    print(f"Workers KV simulator: {simulator.url} {json.dumps(simulator.credentials)}", flush=True)
    serve_until_interrupted(simulator)


if __name__ == "__main__":
    main()
