"""Simulate ``BlockObject`` of Alibaba Cloud ESA, strictly by the vendor's page and its SDK.

In a test:

    with AlibabaEsaSimulator() as simulator:
        connect(VendorAccount(..., endpoint=simulator.url, credentials=simulator.credentials), ...)
        simulator.add_faults({"kind": "reset_after"})
        simulator.edge_status("https://www.example.com/1")

The vendor has no call that shows what is blocked: ``edge_status`` and ``calls`` are the test's alone.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args
from urllib.parse import urlsplit

from dev.simulators.alibaba_signature import Refused, SignedRequest, Verifier
from dev.simulators.http_server import Logged, Reply, Request, SimulatorServer, json_reply

SITE_ID = "123456789"
RECORDS = ("*.example.com", "example.com", "*.example.net")
PARAMETERS = {"SiteId", "Content", "Type", "Maxage"}
SHORTEST, LONGEST = 600, 864_000
"""Bounds of ``Maxage`` in seconds: those of the sister call of Alibaba Cloud CDN, as ESA's page names none."""

MAX_URLS = 100
MAX_QUERY = 8_192
CALLS_PER_SECOND = 5
"""None of the three is documented: a strict guess."""

Kind = Literal[
    "error",  # `status` with `code`, nothing done
    "error_after",  # HTTP 500 without a body of the vendor, but the work is done
    "reset_before",  # the connection is reset, nothing done
    "reset_after",  # done, then the connection is reset: the answer is lost
    "truncate",  # done, then half of the answer's body arrives
    "slow_after",  # done, then it waits `seconds` before it answers
]


@dataclass
class Fault:
    """One fault, for the next ``times`` calls; 0 means without end."""

    kind: Kind
    times: int = 1
    status: int = 400
    code: str = "InternalError"
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no such fault: {self.kind}")


@dataclass
class Call:
    """One line of the log. ``status`` 0 means that the connection was reset instead of an answer."""

    type: str
    time: float
    urls: int = 0
    status: int = 0
    code: str = ""


class AlibabaEsaSimulator(Logged):
    """The simulator. It serves in threads between ``start`` and ``stop``, or as a context manager.

    ``records`` are the hosts of the site, exact or ``*.``. ``clock`` returns seconds since 1970.
    """

    fault = Fault

    def __init__(
        self,
        *,
        records: tuple[str, ...] = RECORDS,
        rates: bool = True,
        settle_seconds: float = 0.0,
        clock: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        self.credentials = {"access_key": "LTAISIMULATOR", "secret_key": "esa-simulator-secret", "site_id": SITE_ID}
        self._verifier = Verifier({self.credentials["access_key"]: self.credentials["secret_key"]})
        self._records, self._rates, self._settle, self._clock = records, rates, settle_seconds, clock
        self._lock = threading.RLock()
        self._advanced = 0.0
        self._faults: list[Fault] = []
        self._refused = ""
        self._changes: dict[str, list[tuple[float, float]]] = {}
        """URL → when it was blocked or unblocked, and until when it is blocked (0: not)."""
        self.log: list[Call] = []
        self._server = SimulatorServer(self.handle, port=port)
        self.url = self._server.url

    # --- control -------------------------------------------------------------------------------------------

    def refuse(self, containing: str) -> None:
        """Refuse calls with a URL that has this text; "" ends it."""
        self._refused = containing

    def banned(self) -> set[str]:
        """Return the URLs that the edge refuses."""
        with self._lock:
            return {url for url in self._changes if self.edge_status(url) == 403}

    def edge_status(self, url: str) -> int:
        with self._lock:
            seen = [until for at, until in self._changes.get(url, []) if at <= self.now() - self._settle]
            return 403 if seen and seen[-1] > self.now() else 200

    # --- requests ------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        with self._lock:
            call = Call("", self.now())
            self.log.append(call)
            try:
                reply = self._answer(request, call)
            except Refused as refused:
                call.code = refused.code
                reply = json_reply(
                    refused.status,
                    {
                        "RequestId": str(uuid.uuid4()).upper(),
                        "HostId": "esa.aliyuncs.com",
                        "Code": refused.code,
                        "Message": refused.message,
                    },
                )
            call.status = 0 if reply.wire == "reset" else reply.status
            return reply

    def _answer(self, request: Request, call: Call) -> Reply:
        if request.method != "POST" or request.path != "/" or request.body:
            raise Refused(400, "InvalidParameter", "BlockObject is a POST without a body")
        if len(request.query) > MAX_QUERY:
            return Reply(414, b"<html>URI Too Long</html>", {"Content-Type": "text/html"})
        signed = SignedRequest(request.method, request.path, request.query, request.headers, request.body)
        verified = self._verifier.verify(signed, datetime.fromtimestamp(self.now(), UTC))
        if (verified.action, verified.version) != ("BlockObject", "2024-09-10"):
            raise Refused(
                404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."
            )
        recent = [each for each in self.log if each.time > self.now() - 1 and each.status != 429]
        if self._rates and len(recent) > CALLS_PER_SECOND:
            raise Refused(400, "TooManyRequests", "Too many requests. Please try again later.")
        fault = self._faults[0] if self._faults else None
        if fault is None:
            return self._work(verified.params, call)
        fault.times -= 1
        if not fault.times:
            self._faults.remove(fault)
        if fault.kind == "error":
            raise Refused(fault.status, fault.code, "made by a fault")
        if fault.kind == "reset_before":
            return Reply(0, wire="reset")
        reply = self._work(verified.params, call)
        if fault.kind == "error_after":
            return Reply(500, b"<html>Internal Error</html>", {"Content-Type": "text/html"})
        if fault.kind == "slow_after":
            reply.delay = fault.seconds
        else:
            reply.wire = "truncate" if fault.kind == "truncate" else "reset"
        return reply

    def _work(self, params: Mapping[str, str], call: Call) -> Reply:
        params = {name: value for name, value in params.items() if name not in {"Action", "Version"}}
        unknown = set(params) - PARAMETERS
        if unknown:
            raise Refused(400, "UnsupportedParameter", f"The parameter {min(unknown)} is not supported.")
        for name in ("SiteId", "Content", "Type"):
            if not params.get(name):
                raise Refused(400, f"Missing{name}", f"{name} is mandatory for this action.")
        if params["SiteId"] != SITE_ID:
            raise Refused(400, "InvalidParameter.SiteId", "The site does not exist or is not yours.")
        urls = self._urls(params["Content"])
        call.type, call.urls = params["Type"], len(urls)
        until = self._until(params)
        if self._refused and any(self._refused in url for url in urls):
            raise Refused(400, "InvalidParameter.Content", "The content is invalid.")
        for url in urls:
            self._changes.setdefault(url, []).append((self.now(), until))
        return json_reply(200, {"RequestId": str(uuid.uuid4()).upper(), "TaskId": str(15_940_956_620 + len(self.log))})

    def _until(self, params: Mapping[str, str]) -> float:
        if params["Type"] == "unblock":
            if "Maxage" in params:
                raise Refused(400, "InvalidParameter.Maxage", "An unblock has no Maxage.")
            return 0.0
        if params["Type"] != "block":
            raise Refused(400, "InvalidParameter.Type", "Type is block or unblock.")
        seconds = params.get("Maxage", "")
        if not seconds:
            raise Refused(400, "MissingMaxage", "Maxage is mandatory for this action.")
        if not seconds.isdigit() or not SHORTEST <= int(seconds) <= LONGEST:
            raise Refused(400, "InvalidParameter.Maxage", f"Maxage is {SHORTEST} to {LONGEST}.")
        return self.now() + int(seconds)

    def _urls(self, content: str) -> list[str]:
        try:
            urls = json.loads(content)
        except ValueError:
            urls = None
        if (
            not isinstance(urls, list)
            or not 1 <= len(urls) <= MAX_URLS
            or not all(isinstance(url, str) for url in urls)
        ):
            raise Refused(400, "InvalidParameter.Content", f"Content is a list of 1 to {MAX_URLS} URLs.")
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise Refused(400, "InvalidParameter.Content", "A URL begins with http:// or https://.")
            if not any(_covers(record, parts.hostname) for record in self._records):
                raise Refused(400, "InvalidParameter.RecordNotBelongToSite", "The record does not belong to the site.")
        return urls


def _covers(record: str, host: str) -> bool:
    return host.endswith(record[1:]) if record.startswith("*.") else host == record
