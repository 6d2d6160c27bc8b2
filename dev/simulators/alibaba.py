"""A server that speaks the illegal-URL export of Alibaba Cloud CDN: python -m dev.simulators.alibaba --port 8081.

Where the vendor's documentation is silent, the simulator assumes: a day is UTC+8; a TimePoint inside a day means that
day; the window counts whole days; an export that is not ready has the status ``processing``; a refused TimePoint is an
``InvalidParameter``. Paths below ``/_sim/`` control the simulator:

``POST /_sim/faults``  ``{"fault": …, "times": 1, "action": "", …}`` adds a fault (``times`` 0: until cleared);
                       ``{"clear": true}`` removes all. ``alibaba_state`` lists the faults.
``GET /_sim/calls``    every call with its time, action, parameters, status and code, without signatures and keys.
``GET /_sim/stats``    counts by action and by code, downloads, tasks.
``GET /_sim/file?day=YYYY-MM-DD``  the bytes that are served for a day.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from dev.simulators.alibaba_files import file_blocks, file_size
from dev.simulators.alibaba_signature import Refused, SignedRequest
from dev.simulators.alibaba_state import (
    CALL_FAULTS,
    DOMAINS,
    DOWNLOAD_FAULTS,
    FILE_FAULTS,
    OTHER_FAULTS,
    Answer,
    Settings,
    State,
    document,
    fields_document,
    json_document,
)


class Handler(BaseHTTPRequestHandler):
    """Answers a request: a call of the vendor's API, a download, or a control of the simulator."""

    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        with suppress(ConnectionError):
            if path.startswith("/_sim/"):
                self.send(self.control(path, query, body))
            elif path.startswith("/export/"):
                with self.state.lock:
                    answer = self.state.download(path, query)
                    self.state.downloads.append(
                        {
                            "path": path,
                            "status": answer.status,
                            "headers": {k.lower(): v for k, v in self.headers.items()},
                        }
                    )
                self.send(answer)
            else:
                self.send(self.call(path, query, body))

    def call(self, path: str, query: str, body: bytes) -> Answer:
        state, request_id = self.state, str(uuid.uuid4()).upper()
        headers = {name.lower(): value for name, value in self.headers.items()}
        entry: dict[str, Any] = {"at": state.clock().isoformat(), "action": "", "status": 200, "code": "", "params": {}}
        xml = False
        with state.lock:
            state.calls.append(entry)
            try:
                call = state.verifier.verify(SignedRequest(self.command, path, query, headers, body), state.clock())
                xml = call.wants_xml
                entry |= {"action": call.action, "form": call.form, "nonce": call.nonce, "method": self.command}
                entry["params"] = {k: call.params[k] for k in ("TaskName", "TimePoint", "TaskId") if k in call.params}
                fault = state.take((*CALL_FAULTS, "reset", "html"), call.action)
                kind = fault.get("fault", "")
                if kind in CALL_FAULTS:
                    refused = CALL_FAULTS[kind]
                    after = str(fault.get("retry_after_ms", 1500))
                    more = {"x-acs-retry-after": after} if kind == "throttling_user" else {}
                    raise Refused(refused.status, refused.code, refused.message, more)
                if kind == "html":
                    entry["status"] = 502
                    return document(502, "<html><h1>502 Bad Gateway</h1></html>", "text/html")
                fields = {} if kind == "reset" else state.perform(call, self.headers.get("Host", ""), request_id)
                if kind == "reset" or state.take(("reset_after",), call.action):
                    entry["status"] = 0
                    return Answer(200, end="reset")
            except Refused as exc:
                entry |= {"status": exc.status, "code": exc.code}
                fields = {"RequestId": request_id, "HostId": "cdn.aliyuncs.com", "Code": exc.code}
                fields["Message"] = exc.message
                xml = xml or bool(state.take(("xml",)))
                return fields_document(exc.status, "Error", fields, xml=xml, headers=exc.headers)
        return fields_document(200, f"{call.action}Response", fields, xml=xml)

    def control(self, path: str, query: str, body: bytes) -> Answer:
        state = self.state
        with state.lock:
            if path == "/_sim/faults" and self.command == "POST":
                fault = json.loads(body)
                if fault.get("clear"):
                    state.faults.clear()
                elif fault.get("fault") in {*CALL_FAULTS, *DOWNLOAD_FAULTS, *FILE_FAULTS, *OTHER_FAULTS}:
                    state.faults.append(fault)
                else:
                    return json_document(400, {"error": "no such fault"})
                return json_document(200, {"faults": state.faults})
            if path == "/_sim/calls":
                return json_document(200, {"calls": state.calls})
            if path == "/_sim/stats":
                return json_document(
                    200,
                    {
                        "calls": Counter(entry["action"] for entry in state.calls),
                        "codes": Counter(entry["code"] for entry in state.calls if entry["code"]),
                        "downloads": Counter(str(entry["status"]) for entry in state.downloads),
                        "tasks": len(state.tasks),
                        "days": sorted({task.day.isoformat() for task in state.tasks.values()}),
                    },
                )
            if path == "/_sim/file":
                day, shape = date.fromisoformat(parse_qs(query)["day"][0]), state.day_shape()
                return Answer(200, {"Content-Type": "text/csv"}, file_blocks(day, shape), file_size(day, shape))
        return json_document(404, {"error": "nothing here"})

    def send(self, answer: Answer) -> None:
        if answer.end == "reset":
            # With a linger of 0 seconds the last close sends a reset instead of an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.length is not None:
            self.send_header("Content-Length", str(answer.length))
        if answer.end == "cut" or (answer.length is None and not answer.chunked):
            self.send_header("Connection", "close")
        if answer.header_pause:
            self.flush_headers()
            for number in range(1000):
                time.sleep(answer.header_pause)
                self.send_header(f"X-Slow-{number}", "1")
                self.flush_headers()
        self.end_headers()
        for block in answer.body:
            if answer.pause:
                time.sleep(answer.pause)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if answer.chunked else block)
        if answer.chunked and answer.end != "cut":
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name of the base class)
        """Print nothing: ``state.calls`` is the log."""


class AlibabaSimulator:
    """The server in a thread, as a context manager."""

    def __init__(self, settings: Settings | None = None, *, port: int = 0) -> None:
        self.state = State(settings or Settings())
        handler = type("BoundHandler", (Handler,), {"state": self.state})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, name: str, **details: object) -> None:
        """Add a fault, as ``POST /_sim/faults`` does."""
        with self.state.lock:
            self.state.faults.append({"fault": name, **details})

    def file(self, day: date) -> bytes:
        """Return the bytes that are served for a day."""
        return b"".join(file_blocks(day, self.state.day_shape()))


def main() -> None:
    parser = argparse.ArgumentParser(description="The illegal-URL export of Alibaba Cloud CDN, on this machine.")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--access-key", default="testid")
    parser.add_argument("--secret-key", default="testsecret")
    parser.add_argument("--complete-after", type=float, default=300.0, help="seconds until an export is ready")
    parser.add_argument("--calls-per-second", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=200, help="rows a day")
    parser.add_argument("--domain", action="append", help="a domain in the files; may be repeated")
    parser.add_argument("--url", action="append", help="a URL in the files; may be repeated")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    settings = Settings(
        secrets={options.access_key: options.secret_key},
        complete_after=options.complete_after,
        calls_per_second=options.calls_per_second,
        rows=options.rows,
        domains=options.domain or DOMAINS,
        urls=options.url or (),
        seed=options.seed,
    )
    simulator = AlibabaSimulator(settings, port=options.port)
    with simulator, suppress(KeyboardInterrupt):
        print(f"Alibaba Cloud CDN simulator at {simulator.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
