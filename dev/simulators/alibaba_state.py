"""The state and the decisions of the Alibaba Cloud CDN simulator: tasks, limits, faults, and answers to downloads."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from dev.simulators.alibaba_files import Shape, file_blocks, file_size
from dev.simulators.alibaba_signature import Refused, Verified, Verifier

CREATE = "CreateIllegalUrlExportTask"
DESCRIBE = "DescribeIllegalUrlExportTask"
VERSION = "2018-05-10"
CHINA = timezone(timedelta(hours=8))
DOMAINS = ("www.example.com", "img.example.com", "dl.example.org")

CALL_FAULTS = {
    "throttling_400": Refused(400, "Throttling", "Request was denied due to request throttling."),
    "throttling_503": Refused(503, "Throttling", "Request was denied due to request throttling."),
    "throttling_user": Refused(400, "Throttling.User", "Request was denied due to user flow control."),
    "throttling_lower_case": Refused(429, "throttling.api", "Request was denied due to api flow control."),
    "internal_error": Refused(500, "InternalError", "The request processing has failed due to some unknown error."),
    "service_unavailable": Refused(503, "ServiceUnAvailable", "The request has failed due to a temporary failure."),
    "forbidden": Refused(403, "Forbidden.RAM", "User not authorized to operate on the specified resource."),
    "not_opened": Refused(403, "OperationDenied", "The CDN service is not opened or is suspended."),
    "api_gone": Refused(404, "InvalidApi.NotFound", "Specified api is not found, please check your url and method."),
}
"""Answers in place of the call's. ``throttling_user`` takes ``retry_after_ms`` (1500)."""

OTHER_FAULTS = (
    "reset",  # no answer, nothing done
    "reset_after",  # done, no answer
    "xml",  # the next error is in XML
    "html",  # a gateway's page, 502
    "never_complete",  # describe always answers ``status`` ("processing")
)

DOWNLOAD_FAULTS = (
    "truncated",  # Content-Length promises more bytes than are sent
    "truncated_chunked",
    "no_length",  # the end of the connection is the end of the file
    "slow",  # ``seconds`` (0.2) between pieces of ``bytes`` (1)
    "slow_headers",
    "expired",
    "redirect",  # to ``to``; ``hops`` more redirects on this server before that
    "gzip",
    "chunked",
    "busy",  # 503
    "reset_download",
)

FILE_FAULTS: dict[str, dict[str, Any]] = {
    "gb18030": {"encoding": "gb18030"},
    "gb18030_bom": {"encoding": "gb18030", "mark": b"\x84\x31\x95\x33"},
    "utf8_bom": {"mark": b"\xef\xbb\xbf"},
    "no_header": {"header": False},
    "unknown_codes": {"unknown_codes": True},
    "bad_rows": {"bad_rows": True},
    "formulas": {"formulas": True},
    "rows": {},  # ``rows``
    "bytes": {},  # ``bytes``
}
"""What the fault changes in the file, until it is cleared. Several can be set."""


@dataclass
class Task:
    """An export that was asked for."""

    id: str
    name: str
    day: date
    created: datetime


@dataclass
class Answer:
    """An HTTP answer. ``body`` comes in pieces, ``pause`` seconds apart; ``length`` is its Content-Length, if any."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Iterator[bytes] = field(default_factory=lambda: iter(()))
    length: int | None = None
    chunked: bool = False
    end: str = "whole"  # or "reset", "cut"
    pause: float = 0.0
    header_pause: float = 0.0


@dataclass(frozen=True)
class Settings:
    """How the simulator behaves. Times are in seconds; ``calls_per_second`` 0 removes the limit."""

    secrets: Mapping[str, str] = field(default_factory=lambda: {"testid": "testsecret"})
    """Access key → secret key."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Access key → security token, for temporary keys."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    complete_after: float = 300.0
    """How long an export takes."""
    calls_per_second: float = 1.0
    url_seconds: float = 3600.0
    """How long a download URL is valid."""
    rows: int = 200
    """Rows of a day's file."""
    domains: Sequence[str] = DOMAINS
    urls: Sequence[str] = ()
    """URLs of the files; none: invented ones of ``domains``."""
    seed: int = 1


class State:
    """What the server remembers. Callers hold ``lock``."""

    def __init__(self, settings: Settings) -> None:
        self.lock = threading.Lock()
        self.verifier = Verifier(settings.secrets, settings.tokens)
        self.clock = settings.clock
        self.complete_after = timedelta(seconds=settings.complete_after)
        self.calls_per_second = settings.calls_per_second
        self.url_seconds = settings.url_seconds
        self.shape = Shape(rows=settings.rows, domains=settings.domains, urls=settings.urls, seed=settings.seed)
        self.tasks: dict[str, Task] = {}
        self.faults: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.downloads: list[dict[str, Any]] = []
        self.last: dict[tuple[str, str], float] = {}

    def take(self, names: Sequence[str], action: str = "") -> dict[str, Any]:
        """Return the first fault of these names that fits the action, and count it down; empty if there is none."""
        for fault in self.faults:
            if fault["fault"] in names and fault.get("action", "") in ("", action):
                if fault.get("times", 1):
                    fault["left"] = fault.get("left", fault.get("times", 1)) - 1
                    if fault["left"] <= 0:
                        self.faults.remove(fault)
                return fault
        return {}

    def day_shape(self) -> Shape:
        shape = self.shape
        for fault in self.faults:
            changes: dict[str, Any] = dict(FILE_FAULTS.get(fault["fault"], {}))
            if fault["fault"] == "rows":
                changes["rows"] = int(fault["rows"])
            if fault["fault"] == "bytes":
                changes["total_bytes"] = int(fault["bytes"])
            shape = replace(shape, **changes)
        return shape

    def limit(self, access_key: str, action: str) -> None:
        """Let one call of an action pass in ``1 / calls_per_second`` seconds. Refused calls do not count."""
        if not self.calls_per_second:
            return
        now, span = time.monotonic(), 1 / self.calls_per_second
        wait = self.last.get((access_key, action), -span) + span - now
        if wait > 0:
            raise Refused(
                400,
                "Throttling.User",
                "Request was denied due to user flow control.",
                {"x-acs-retry-after": str(max(1, round(wait * 1000)))},
            )
        self.last[access_key, action] = now

    def perform(self, call: Verified, host: str, request_id: str) -> dict[str, str]:
        if call.version != VERSION:
            raise Refused(400, "NoSuchVersion", "The specified version does not exist.")
        if call.action not in (CREATE, DESCRIBE):
            raise Refused(404, "InvalidApi.NotFound", "Specified api is not found, please check your url and method.")
        self.limit(call.access_key, call.action)
        if call.action == CREATE:
            return {"RequestId": request_id, "TaskId": self.create(call.params)}
        return {"RequestId": request_id, **self.describe(call.params, host)}

    def create(self, params: Mapping[str, str]) -> str:
        for name in ("TaskName", "TimePoint"):
            if not params.get(name):
                raise Refused(
                    400, "MissingParameter", f'The input parameter "{name}" that is mandatory is not supplied.'
                )
        now = self.clock()
        try:
            moment = datetime.strptime(params["TimePoint"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise Refused(400, "InvalidParameter", "The specified TimePoint is invalid.") from None
        day, today = moment.astimezone(CHINA).date(), now.astimezone(CHINA).date()
        if not timedelta(0) <= today - day <= timedelta(days=31):
            raise Refused(400, "InvalidParameter", "The specified TimePoint is not within the last 31 days.")
        task = Task("tu_" + str(uuid.uuid4()).replace("-", "_"), params["TaskName"], day, now)
        self.tasks[task.id] = task
        return task.id

    def describe(self, params: Mapping[str, str], host: str) -> dict[str, str]:
        if not params.get("TaskId"):
            raise Refused(400, "MissingParameter", 'The input parameter "TaskId" that is mandatory is not supplied.')
        task = self.tasks.get(params["TaskId"])
        if task is None:
            raise Refused(400, "InvalidParameter", "The specified TaskId does not exist.")
        never = self.take(("never_complete",), DESCRIBE)
        if never:
            return {"Status": str(never.get("status", "processing"))}
        if self.clock() - task.created < self.complete_after:
            return {"Status": "processing"}
        expires = str(int(self.clock().timestamp() + self.url_seconds))
        path = f"/export/{task.id}.csv"
        return {"Status": "complete", "DownloadUrl": f"{host}{path}?Expires={expires}&Signature={sign(path, expires)}"}

    def download(self, path: str, query: str) -> Answer:
        task = self.tasks.get(path.removeprefix("/export/").removesuffix(".csv"))
        params = {name: values[0] for name, values in parse_qs(query).items()}
        expires, signature = params.get("Expires", "0"), params.get("Signature", "")
        late = not expires.isdigit() or int(expires) < self.clock().timestamp()
        fault = self.take(DOWNLOAD_FAULTS)
        kind = fault.get("fault", "")
        if kind == "expired" or late or not hmac.compare_digest(signature, sign(path, expires)):
            return document(403, "<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>")
        if task is None:
            return document(404, "<Error><Code>NoSuchKey</Code></Error>")
        if kind == "busy":
            return document(503, "<Error><Code>SlowDown</Code></Error>")
        if kind == "reset_download":
            return Answer(200, end="reset")
        if kind == "redirect":
            hops = int(fault.get("hops", 0))
            if hops:
                self.faults.insert(0, {**fault, "hops": hops - 1, "times": 1, "left": 1})
            return Answer(302, {"Location": f"{path}?{query}" if hops else str(fault["to"])}, length=0)
        shape = self.day_shape()
        size = file_size(task.day, shape)
        answer = Answer(200, {"Content-Type": "text/csv"}, file_blocks(task.day, shape), size)
        if kind == "truncated":
            answer.body, answer.end = head(answer.body, size // 2), "cut"
        elif kind in ("chunked", "truncated_chunked"):
            answer.length, answer.chunked = None, True
            answer.end = "cut" if kind == "truncated_chunked" else "whole"
        elif kind == "no_length":
            answer.length = None
        elif kind == "gzip":
            answer.headers["Content-Encoding"] = "gzip"
        elif kind == "slow":
            step = int(fault.get("bytes", 1))
            answer.body = (block[i : i + step] for block in answer.body for i in range(0, len(block), step))
            answer.pause = float(fault.get("seconds", 0.2))
        elif kind == "slow_headers":
            answer.header_pause = float(fault.get("seconds", 0.2))
        return answer


def sign(path: str, expires: str) -> str:
    return hmac.new(b"the simulator's storage", f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def head(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the first ``size`` bytes."""
    for block in blocks:
        yield block[:size]
        size -= len(block)
        if size <= 0:
            return


def document(status: int, text: str, content_type: str = "application/xml") -> Answer:
    return Answer(status, {"Content-Type": content_type}, iter((text.encode(),)), len(text.encode()))


def json_document(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    answer = document(status, json.dumps(value, ensure_ascii=False), "application/json; charset=utf-8")
    answer.headers |= dict(headers or {})
    return answer


def fields_document(
    status: int, root: str, fields: Mapping[str, str], *, xml: bool, headers: Mapping[str, str] | None = None
) -> Answer:
    if not xml:
        return json_document(status, fields, headers)
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    text = f"<?xml version='1.0' encoding='UTF-8'?><{root}>{inner}</{root}>"
    answer = document(status, text, "text/xml;charset=utf-8")
    answer.headers |= dict(headers or {})
    return answer
