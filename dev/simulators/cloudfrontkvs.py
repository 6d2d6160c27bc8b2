"""Simulate a CloudFront KeyValueStore as far as edgeban calls it, strictly by the service's model and its quotas.

In a test:

    with KvsSimulator() as simulator:
        connect(VendorAccount(..., endpoint=simulator.url, credentials=simulator.credentials), ...)
        simulator.add_faults({"match": "write", "kind": "reset_after"})
        simulator.edge_status("https://www.example.com/1")
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, quote, unquote

from dev.simulators.cloudfrontkvs_signature import canonical, public_key, verifies
from dev.simulators.http_server import Logged, Reply, Request, SimulatorServer, json_reply

ARN = "arn:aws:cloudfront::111122223333:key-value-store/8562e61f-caba-2845-9d99-b97d1ae5d3c0"
MAX_KEYS, MAX_BODY = 50, 3 * 1024 * 1024
MAX_KEY, MAX_VALUE, MAX_STORE = 512, 1024, 5 * 1024 * 1024
SKEW = 300.0

Kind = Literal[
    "error",  # `status` with `code`, nothing done
    "error_after",  # HTTP 500, but the work is done
    "reset_before",  # the connection is reset, nothing done
    "reset_after",  # done, then the connection is reset: the answer is lost
    "truncate",  # done, then half of the answer's body arrives
    "other_writer",  # somebody else writes first, so that the ETag is an old one
]


@dataclass
class Fault:
    """One fault. ``times`` 0 means without end."""

    match: Literal["describe", "write", "list", "get", "any"]
    kind: Kind
    times: int = 1
    status: int = 500
    code: str = "InternalServerException"
    named: Literal["header", "__type", "code"] = "header"

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
    code: str = ""


class Refused(Exception):
    """The call is refused with this reply."""

    def __init__(self, status: int, code: str, text: str, named: str = "header") -> None:
        super().__init__(text)
        body, headers = {"Message": text}, {"x_amzn_RequestId": str(uuid.uuid4())}
        if named == "header":
            headers["x_amzn_ErrorType"] = f"{code}:http://internal.amazon.com/"
        else:
            body[named] = f"com.amazonaws.cloudfront.keyvaluestore#{code}"
        self.reply = json_reply(status, body, **headers)
        self.code = code


class KvsSimulator(Logged):
    """The simulator. It serves in threads between ``start`` and ``stop``, or as a context manager.

    ``clock`` returns seconds since 1970. ``strict_deletes`` refuses to delete a key that is not there: the service's
    documents do not say which. ``max_store`` are the bytes that the store holds.
    """

    fault = Fault

    def __init__(
        self,
        *,
        settle_seconds: float = 0.0,
        strict_deletes: bool = False,
        max_store: int = MAX_STORE,
        clock: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        self.credentials = {"access_key": "AKIASIMULATOR", "secret_key": "kvs-simulator-secret", "store_arn": ARN}
        self._settle, self._strict, self._max, self._clock = settle_seconds, strict_deletes, max_store, clock
        self._lock = threading.RLock()
        self._advanced = 0.0
        self._faults: list[Fault] = []
        self._version = 1
        self.pairs: dict[str, str] = {}
        self._changes: dict[str, list[tuple[float, bool]]] = {}
        self.log: list[Call] = []
        self._server = SimulatorServer(self.handle, port=port)
        self.url = self._server.url

    # --- control -------------------------------------------------------------------------------------------

    def edge_status(self, url: str) -> int:
        """Return what the viewer function answers at a place that is as late as it can be."""
        octets = url.encode()
        key = url if len(octets) <= MAX_KEY else "sha256:" + hashlib.sha256(octets).hexdigest()
        with self._lock:
            seen = [there for at, there in self._changes.get(key, []) if at <= self.now() - self._settle]
            return 403 if seen and seen[-1] else 200

    # --- requests ------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        with self._lock:
            path = re.fullmatch(r"/key-value-stores/([^/]+)(/keys(?:/([^/]+))?)?", request.path)
            endpoint = "unknown"
            if path:
                kinds = {("GET", False): "describe", ("GET", True): "list", ("POST", True): "write"}
                endpoint = kinds.get((request.method, bool(path[2])), "unknown")
                if path[3]:
                    endpoint = "get" if request.method == "GET" else "unknown"
            call = Call(endpoint, self.now())
            self.log.append(call)
            try:
                self._check(request)
                if path is None or endpoint == "unknown":
                    raise Refused(404, "UnknownOperationException", "there is no such call")
                if unquote(path[1]) != ARN:
                    raise Refused(404, "ResourceNotFoundException", "The KeyValueStore was not found.")
                reply = self._answer(request, endpoint, unquote(path[3] or ""), call)
            except Refused as refused:
                reply, call.code = refused.reply, refused.code
            call.status = 0 if reply.wire == "reset" else reply.status
            return reply

    def _check(self, request: Request) -> None:
        parts = dict(
            re.findall(r"(Credential|SignedHeaders|Signature)=([^,\s]+)", request.headers.get("authorization", ""))
        )
        if not request.headers.get("authorization", "").startswith("AWS4-ECDSA-P256-SHA256 ") or len(parts) != 3:
            raise Refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        access_key, _, scope = parts["Credential"].partition("/")
        stamp = request.headers.get("x-amz-date", "")
        if access_key != self.credentials["access_key"]:
            raise Refused(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        sent_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        names = parts["SignedHeaders"].split(";")
        must = {"host", "x-amz-date", "x-amz-region-set"} | ({"if-match"} & set(request.headers))
        text = canonical(request.method, request.path, request.query, request.headers, names, request.body)
        to_sign = f"AWS4-ECDSA-P256-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}"
        key = public_key(access_key, self.credentials["secret_key"])
        body_hash = request.headers.get("x-amz-content-sha256")
        if (
            abs(self.now() - sent_at) > SKEW
            or scope != f"{stamp[:8]}/cloudfront-keyvaluestore/aws4_request"
            or request.headers.get("x-amz-region-set") != "*"
            or not must <= set(names)
            or names != sorted(names)
            or (body_hash is not None and body_hash != hashlib.sha256(request.body).hexdigest())
            or not verifies(key, to_sign.encode(), bytes.fromhex(parts["Signature"]))
        ):
            raise Refused(403, "InvalidSignatureException", "The request signature we calculated does not match.")

    def _answer(self, request: Request, endpoint: str, key: str, call: Call) -> Reply:
        fault = next((fault for fault in self._faults if fault.match in ("any", endpoint)), None)
        if fault and fault.times:
            fault.times -= 1
            if not fault.times:
                self._faults.remove(fault)
        if fault and fault.kind == "error":
            raise Refused(fault.status, fault.code, "made by a fault", fault.named)
        if fault and fault.kind == "reset_before":
            return Reply(0, wire="reset")
        if fault and fault.kind == "other_writer":
            self._version += 1
        if endpoint == "write":
            reply = self._write(request, call)
        elif endpoint == "list":
            reply = self._list(request)
        elif endpoint == "get":
            if key not in self.pairs:
                raise Refused(404, "ResourceNotFoundException", "The key was not found.")
            reply = json_reply(200, {"Key": key, "Value": self.pairs[key], **self._size()})
        else:
            reply = json_reply(200, {"KvsARN": ARN, "Status": "READY", **self._size()}, ETag=self._etag())
        if fault and fault.kind == "error_after":
            raise Refused(500, "InternalServerException", "made by a fault")
        if fault and fault.kind in ("truncate", "reset_after"):
            reply.wire = "truncate" if fault.kind == "truncate" else "reset"
        return reply

    def _write(self, request: Request, call: Call) -> Reply:
        if not request.headers.get("if-match"):
            raise Refused(400, "ValidationException", "If-Match is required.")
        if len(request.body) > MAX_BODY:
            raise Refused(413, "ValidationException", "The payload is larger than 3 MB.")
        try:
            document = json.loads(request.body)
            puts = {row["Key"]: row["Value"] for row in document.get("Puts", [])}
            deletes = [row["Key"] for row in document.get("Deletes", [])]
            rows = len(document.get("Puts", [])) + len(document.get("Deletes", []))
            known = set(document) <= {"Puts", "Deletes"}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(400, "ValidationException", "The body is not as documented.") from None
        call.keys = rows
        if not known or not 1 <= rows <= MAX_KEYS or len({*puts, *deletes}) != rows:
            raise Refused(400, "ValidationException", f"1 to {MAX_KEYS} different keys are needed.")
        for key, value in [*puts.items(), *((key, "x") for key in deletes)]:
            if not isinstance(key, str) or not 1 <= len(key.encode()) <= MAX_KEY:
                raise Refused(400, "ValidationException", f"A key has 1 to {MAX_KEY} bytes.")
            if not isinstance(value, str) or not 1 <= len(value.encode()) <= MAX_VALUE:
                raise Refused(400, "ValidationException", f"A value has 1 to {MAX_VALUE} bytes.")
        if request.headers["if-match"] != self._etag():
            raise Refused(409, "ConflictException", "The ETag is not that of the current version.")
        if self._strict and any(key not in self.pairs for key in deletes):
            raise Refused(404, "ResourceNotFoundException", "A key was not found.")
        after = {key: value for key, value in {**self.pairs, **puts}.items() if key not in deletes}
        if puts and _bytes(after) > self._max:
            raise Refused(402, "ServiceQuotaExceededException", "The KeyValueStore is full.")
        for key in {*puts, *deletes}:
            self._changes.setdefault(key, []).append((self.now(), key in puts))
        self.pairs, self._version = after, self._version + 1
        return json_reply(200, self._size(), ETag=self._etag())

    def _list(self, request: Request) -> Reply:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        count = query.get("MaxResults", "10")
        if not set(query) <= {"MaxResults", "NextToken"} or not count.isdigit() or not 1 <= int(count) <= 50:
            raise Refused(400, "ValidationException", "MaxResults is 1 to 50.")
        names = sorted(name for name in self.pairs if name > unquote(query.get("NextToken", "")))
        page = names[: int(count)]
        document: dict[str, Any] = {"Items": [{"Key": name, "Value": self.pairs[name]} for name in page]}
        if len(page) < len(names):
            document["NextToken"] = quote(page[-1], safe="")
        return json_reply(200, document)

    def _etag(self) -> str:
        return f"KV{self._version:012X}"

    def _size(self) -> dict[str, int]:
        return {"ItemCount": len(self.pairs), "TotalSizeInBytes": _bytes(self.pairs)}


def _bytes(pairs: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in pairs.items())
