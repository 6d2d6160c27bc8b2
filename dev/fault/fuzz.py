"""Hostile inputs, by the million, to every reader of what strangers send or a person may have mistyped.

``python -m dev.fault.fuzz`` runs INPUTS of them (default a million) from SEED (default 1), in as many processes as
there are processors, and prints totals. A reader may refuse with the errors that it declares; anything else, a result
that breaks what is promised of it, or more than 256 MB of memory is a finding, printed with its input.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import multiprocessing
import os
import random
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

from chalicelib.config import operators, policy, sources
from chalicelib.domain.errors import (
    BadSignature,
    ConfigurationError,
    InputError,
    TooLarge,
    UnknownFormat,
    UnreadableReport,
    UnusableUrl,
    VendorError,
)
from chalicelib.domain.model import ParsedReport
from chalicelib.domain.urls import canonical_url, host_of, url_key
from chalicelib.pipeline.intake.messages import read_record
from chalicelib.ports import ExportRow, RejectedRow
from chalicelib.reports import PARSERS, ParserOptions, format_for, native
from chalicelib.reports import parse as parse_report
from chalicelib.reports.envelope import unwrap
from chalicelib.reports.signature import Scheme, authenticate, sign
from chalicelib.vendors.alibaba.export_rows import read_rows
from chalicelib.vendors.http import VendorResponse
from chalicelib.vendors.huawei.answers import read_answer
from chalicelib.vendors.registry import parse_accounts
from dev.package import ROOT

MEGABYTE = 1024 * 1024
NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
SECRET = "whsec_" + "c2VjcmV0" * 5
CONFIGURATION = 64 * 1024
"""Bytes that Secrets Manager takes at most."""

MAX_MEGABYTES = 256
MAX_SECONDS = 10.0
"""Most processor time for one input, of the 10 MB that are read at most."""
BATCH = 5_000
SHOWN = 20
SAID = 50_000
"""Inputs between two lines that show the progress."""
OPTIONS = ParserOptions(defanged=True, html_escaped=True, max_urls=500, now=NOW)
PASSED_ON = ParserOptions(max_urls=500)
"""How a report that was read is read again from the queue: its spelling is not changed a second time."""
QUEUE = sources.parse({"queue": {"auth": "none", "format": "native"}, "urlhaus": {"auth": "none", "format": "urlhaus"}})

TOKENS: tuple[bytes, ...] = (
    b"\0",
    b"\r\n",
    b"\n",
    b"\r",
    b"\t",
    b"\x0b",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\x84\x31\x95\x33",
    b"\xf4\x90\x80\x80",
    "\u2028\u202e\u200b".encode(),
    "ｅｘａｍｐｌｅ。ｃｏｍ".encode(),
    "\U0001f600".encode(),
    b"\\ud800",
    b"\\udfff\\ud800",
    b"\\u0000",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-0",
    b"9" * 400,
    b"9" * 5_000,
    b"0.1e-9999",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"',
    b"'",
    b"[" * 40,
    b"[" * 2_000,
    b'{"a":' * 50,
    b"]" * 40,
    b'{"urls":',
    b'"url":',
    b'"urls":[',
    b",",
    b":",
    b";",
    b"https://",
    b"http://www.example.com/a",
    b"hxxp://www[.]example[.]com/",
    b"https://[::1]/",
    b"http://127.0.0.1:0/",
    b"//",
    b"https://user:pw@www.example.com@evil.example/",
    b"http://www.example.com%2f@evil.example/",
    b"http://0x7f.1/",
    b"http://www.example.com:99999999999/",
    b"http://www.example.com:443/",
    b"https://xn--a.example.com/",
    b"javascript:alert(1)",
    b"http://" + b"a" * 300 + b".example.com/",
    b"http://www.example.com/" + b"%2e%2e/" * 50,
    b"&#x110000;",
    b"&#0;",
    b"&amp;amp;",
    b"Content-Type: multipart/report; boundary=b\n\n--b\n",
    b"boundary*0*=x'%00'b",
    b"=?utf-8?b?/?=",
    b"Reported-URI: ",
    b"--b--",
    b'"eventSource":"aws:s3"',
    b'"Records":[',
    b'"TopicArn":"a","Type":"Notification","Message":"',
    b'"detail-type":"x","detail":',
    b'"s3":{"bucket":{"name":"b"},"object":{"key":"%ff+%00","size":-1}}',
    b"../../",
    b"[url:value = 'http://a' OR url:value='b']",
    b"2026-02-30T99:99:99Z",
    b"9999-12-31T23:59:59-23:59",
    b"0001-01-01T00:00:00+23:59",
    b"-62135596801",
    b"253402300800",
    b"sha256=" + b"0" * 64,
    b"v1,",
    b"v1a,AAAA",
    b"whsec_",
    b"Bearer ",
    b"${jndi:ldap://a}",
    b"=cmd|' /C calc'!A0",
    b"<!ENTITY a 'b'>",
)

POLICY = {
    "version": 1,
    "accounts": {"a": {"managed_domains": ["example.com", "*.example.com"]}},
    "bare_hosts": "hold",
    "ban_days": 7,
    "caps": {"per_source_per_hour": 10, "share_of_live": 0.5},
    "protected": [{"host": "www.example.com", "comment": "ours", "expires": "2026-03-01T00:00:00Z"}],
}
SOURCES = {
    "desk": {"auth": "standard-webhooks", "secrets": [SECRET], "format": "native", "hosts": ["*.example.com"]},
    "hub": {"auth": "hub-sha256", "secrets": ["0123456789abcdef"], "reports_per_minute": 3, "ban_days": 30},
    "queue": {"auth": "none", "callback_url": "https://example.com/", "callback_secret": SECRET},
}
ENVELOPES = (
    {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:a:b:c",
        "Message": '{"urls": ["https://www.example.com/a"]}',
        "MessageAttributes": {"source": {"Type": "String", "Value": "queue"}},
    },
    {"version": "0", "detail-type": "Report", "source": "queue", "detail": {"urls": ["https://www.example.com/a"]}},
    {"detail-type": "Object Created", "source": "aws.s3", "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}},
    {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "b"}, "object": {"key": "queue/a+b", "size": 9, "versionId": "v"}},
            }
        ]
    },
)
URLS = (
    b"https://www.example.com/a/b?c=d&e=f#g",
    b"http://user:pw@www.example.com:8080/%7Ea/../b",
    b"https://[2001:db8::1]/x",
    "https://bücher.example.com/é?ü".encode(),
    b"HTTP://EXAMPLE.COM",
    b"https://www.example.com/a b\\c",
)
EXPORT = (
    b"gmt_created,punish_domain,punish_url,user_id,reason\n"
    b'2026-01-01 10:00:00,www.example.com,"http://www.example.com/a,b",1,"porn\nx"\n'
    b"1767225600,www.example.com,/path,1,\xd1\xde\n"
)
ANSWERS = (
    b'{"task_id": "abcde"}',
    b'{"error": {"error_code": "CDN.0001", "error_msg": "parameter error"}}',
    b'{"error_code": "APIGW.0308", "error_msg": "throttled", "request_id": "x"}',
    b"<html>Bad Gateway</html>",
)
SAMPLES = {path.name: path.read_bytes() for path in sorted((ROOT / "tests" / "samples").iterdir()) if path.is_file()}


def _text(data: bytes) -> str:
    """Decode to any text that may come in, lone surrogates too."""
    return data.decode("utf-8", "surrogateescape")


def _json(data: bytes) -> object:
    """Decode as configuration is decoded. The functions refuse what is no JSON before this."""
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return data.decode("latin-1")


# --- readers, each with what it may raise, and what holds of its results ----------------------------------------------


def _parser(name: str) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        report = parse_report(data, name, OPTIONS)
        assert isinstance(report, ParsedReport)
        assert len(report.urls) <= OPTIONS.max_urls
        if report.urls:  # A report that is passed on must be read as it was written.
            again = native.parse(native.render(report.urls, correlation_id=report.correlation_id), PASSED_ON)
            assert again.urls == report.urls
        return report

    return read


def read_url(data: bytes) -> object:
    url = canonical_url(_text(data))
    assert url.startswith(("http://", "https://"))
    assert url.isascii()
    assert url.isprintable()
    assert "#" not in url
    assert canonical_url(url) == url
    assert host_of(url)
    assert len(url_key("account", url)) == 22
    return url


def read_envelope(data: bytes) -> object:
    unwrapped = unwrap(_text(data), {"source": "queue"})
    assert unwrapped.attributes is not None
    assert unwrapped.attributes["source"] == "queue"
    return unwrapped


def read_message(data: bytes) -> object:
    text = data.decode("utf-8", "replace")  # SQS takes UTF-8 alone.
    source = ("queue", "urlhaus", "nobody")[len(data) % 3]
    record = {
        "messageId": "m",
        "body": text,
        "attributes": {"SentTimestamp": "1768465800000"},
        "messageAttributes": {"source": {"stringValue": source, "dataType": "String"}},
    }
    return read_record(record, QUEUE, policy.parse(POLICY), fetch=lambda _: data, now=NOW)


def read_signed(data: bytes) -> object:
    """Check headers out of the input by each scheme. None may pass, since the input cannot know a secret."""
    lines = [line.partition(b":") for line in data.split(b"\n")[:12]]
    headers = {_text(name): _text(value) for name, _, value in lines}
    accepted = 0
    for scheme in Scheme:
        try:
            authenticate(scheme, secrets=[SECRET], headers=headers, body=data, now=NOW)
            accepted += 1
        except BadSignature:
            continue
    assert not accepted
    raise BadSignature("as it must be")


def read_resigned(data: bytes) -> object:
    """Accept a right signature, and refuse it with another id, time or signature."""
    stamp = int(NOW.timestamp())
    headers = {
        "webhook-id": "w1",
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(SECRET, "w1", stamp, data),
    }
    assert authenticate(Scheme.STANDARD_WEBHOOKS, secrets=[SECRET], headers=headers, body=data, now=NOW) == "w1"
    for change in ({"webhook-id": "w2"}, {"webhook-timestamp": str(stamp + 1)}, {"webhook-signature": "v1,"}):
        try:
            changed = {**headers, **change}
            authenticate(Scheme.STANDARD_WEBHOOKS, secrets=[SECRET], headers=changed, body=data, now=NOW)
        except BadSignature:
            continue
        raise AssertionError(f"accepted with {change}")
    raise BadSignature("as it must be")


def read_export(data: bytes) -> object:
    rows = 0
    for row in read_rows(data[at : at + 64] for at in range(0, len(data), 64)):
        assert isinstance(row, ExportRow | RejectedRow)
        rows += 1
    return rows


def name_format(data: bytes) -> object:
    return format_for(_text(data[:60]), "")


def read_vendor(data: bytes) -> object:
    status = (200, 200, 400, 429, 500)[len(data) % 5]
    return read_answer(VendorResponse(status, {"Retry-After": _text(data[:9])}, data))


@dataclass(frozen=True)
class Reader:
    """What is read, and its bounds.

    ``errors``: what it may raise. ``corpus``: what its inputs are made of. ``most``: bytes that ever reach it.
    ``seconds``: the ceiling of processor time for one input.
    """

    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    corpus: tuple[bytes, ...]
    most: int = 10 * MEGABYTE
    seconds: float = MAX_SECONDS


def _dumped(*documents: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(each).encode() for each in documents)


def _samples(name: str) -> tuple[bytes, ...]:
    """All samples, and the format's own as often as all others together."""
    own = []
    for sample in SAMPLES.values():
        with contextlib.suppress(UnreadableReport, TooLarge):
            own += [sample] if PARSERS[name](sample, OPTIONS).urls else []
    return (*SAMPLES.values(), *(own * (1 + len(SAMPLES) // max(1, len(own)))))


READERS: dict[str, Reader] = {
    **{f"parser {name}": Reader(_parser(name), (UnreadableReport, TooLarge), _samples(name)) for name in PARSERS},
    "format": Reader(
        name_format, (UnknownFormat,), (b"application/json", b"text/plain; charset=utf-8", b"text/csv"), 60
    ),
    "envelope": Reader(read_envelope, (UnreadableReport,), _dumped(*ENVELOPES), MEGABYTE),
    "message": Reader(read_message, (InputError,), (*_dumped(*ENVELOPES), *SAMPLES.values()), MEGABYTE),
    "signature": Reader(
        read_signed,
        (BadSignature,),
        (
            b"webhook-id:w1\nwebhook-timestamp:1768465800\nwebhook-signature:v1,AAAA",
            b"X-Hub-Signature-256:sha256=" + b"0" * 64,
            b"Authorization:Bearer whsec_guess\nwebhook-id:w1",
        ),
        4 * MEGABYTE,
    ),
    "signed body": Reader(read_resigned, (BadSignature,), tuple(SAMPLES.values()), 4 * MEGABYTE),
    "policy": Reader(lambda data: policy.parse(_json(data)), (ConfigurationError,), _dumped(POLICY), CONFIGURATION),
    "sources": Reader(lambda data: sources.parse(_json(data)), (ConfigurationError,), _dumped(SOURCES), CONFIGURATION),
    "operators": Reader(
        lambda data: operators.parse(_json(data)),
        (ConfigurationError,),
        _dumped({"a": {"token_sha256": "0" * 64, "role": "operator"}}),
        CONFIGURATION,
    ),
    "accounts": Reader(
        lambda data: parse_accounts(_json(data)),
        (ConfigurationError,),
        _dumped({"a": {"vendor": "huawei", "endpoint": "https://cdn.example", "access_key": "a", "secret_key": "b"}}),
        CONFIGURATION,
    ),
    "url": Reader(read_url, (UnusableUrl,), URLS),
    "export": Reader(read_export, (), (EXPORT,), seconds=30.0),  # 10 MB are 3.5 million rows of 3 bytes, 4 µs each
    "vendor's answer": Reader(read_vendor, (VendorError,), ANSWERS, MEGABYTE),
}


# --- inputs -----------------------------------------------------------------------------------------------------------

_VALUE = re.compile(rb'"(?:[^"\\]|\\.){0,200}"|-?\d+(?:\.\d+)?|true|false|null')


def mutate(dice: random.Random, data: bytes, others: tuple[bytes, ...]) -> bytes:
    """Change an input in one to four places."""
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(8)
        if kind == 0 and data:
            data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + dice.choice((1, 4, 16, 200)) :]
        elif kind == 2:
            data = data[:at] + dice.choice(TOKENS) + data[at:]
        elif kind == 3:
            data = data[:at] + data[max(0, at - dice.choice((1, 8, 64))) : at] * dice.choice((1, 2, 50)) + data[at:]
        elif kind == 4:
            other = dice.choice(others)
            data = data[:at] + other[dice.randrange(len(other) + 1) :]
        elif kind == 5:
            data = data[:at] + dice.randbytes(dice.choice((1, 3, 30))) + data[at:]
        else:
            found = _VALUE.search(data, at)
            if found:
                data = data[: found.start()] + _value(dice) + data[found.end() :]
        data = data[:20_000]
    return data


def _value(dice: random.Random) -> bytes:
    token = dice.choice(TOKENS)
    if dice.randrange(2):
        return token
    return json.dumps(token.decode("utf-8", "replace"), ensure_ascii=bool(dice.randrange(2))).encode()


def bombs() -> Iterator[tuple[str, bytes]]:
    """Bodies of the largest size that is read, each made to grow in memory."""
    size = 10 * 1024 * 1024
    signs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    keys = [f'"{"".join(four)}{{}}":1' for four in islice(product(signs, repeat=4), size // 9)]
    wide = '{"a":"\U0001f600",'
    yield "empty arrays", b"[" + b"[]," * (size // 3 - 2) + b"0]"
    yield "empty objects", b'{"urls":[' + b"{}," * (size // 3 - 9) + b"0]}"
    yield "small numbers", b'{"urls":[' + b"1," * (size // 2 - 9) + b"0]}"
    yield "keys", (wide + ",".join(keys[: size // 9 - 10]).replace("{}", "") + "}").encode()[:size]
    yield "as many keys as are read", (wide + ",".join(keys[:499_990]).replace("{}", "12345678") + "}").encode()
    yield "deep arrays", b"[" * size
    yield "deep objects", b'{"a":' * (size // 5)
    yield "one long string", b'"' + b"a" * (size - 2) + b'"'
    yield "one long wide string", ("\U0001f600" + "a" * (size - 4)).encode()
    yield "escapes", b'"' + b"\\ud83d\\ude00" * (size // 12 - 1) + b'"'
    yield "one long number", b"9" * size
    yield "line ends", b"\n" * size
    yield "carriage returns", b"\r" * size
    yield "short lines", b"ab\n" * (size // 3)
    yield "commas", b"a,b\n" + b"," * (size - 4)
    yield "quotes", b'a,b\n"' + b'""' * (size // 2 - 3)
    yield "headers", b"a:b\n" * 290_000 + b"x" * (size - 1_160_000)
    yield "parts", b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n\n" * 140_000
    yield "nested mails", b"Content-Type: message/rfc822\n\n" * 20_000
    yield "no UTF-8", b"From: a\n\n" + b"\xff" * (size - 9)
    yield "gzip of a gigabyte of zeros, once more packed", gzip.compress(gzip.compress(bytes(2**27)))
    yield "zlib", zlib.compress(b'{"urls":["https://www.example.com/' + b"a" * 2**26 + b'"]}')
    yield "more than is read", b" " * (size + 1)


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Totals:
    """What a run came to. ``findings`` are lines with the input that leads there."""

    inputs: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    """Seconds of processor time of the slowest input of each reader."""
    megabytes: int = 0

    def add(self, other: Totals) -> None:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.findings += other.findings
        for name, seconds in other.slowest.items():
            self.slowest[name] = max(seconds, self.slowest.get(name, 0.0))
        self.megabytes = max(self.megabytes, other.megabytes)


def memory() -> int:
    """Return the most memory that this process ever had, in MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) // 1024


def try_one(name: str, data: bytes, totals: Totals) -> None:
    """Give a reader an input, and note the result."""
    reader = READERS[name]
    totals.inputs[name] += 1
    started = time.process_time()
    try:
        reader.read(data)
        totals.accepted[name] += 1
    except reader.errors:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, it was not declared
        totals.findings.append(f"{name}: {type(error).__name__}: {str(error)[:200]}, from {data[:400]!r}")
    seconds = time.process_time() - started
    totals.slowest[name] = max(seconds, totals.slowest.get(name, 0.0))
    if seconds > READERS[name].seconds:
        totals.findings.append(f"{name}: {seconds:.1f} s of processor for {len(data):,} bytes, from {data[:400]!r}")


def run_batch(seed: int, batch: int, count: int) -> Totals:
    """Try ``count`` inputs: the same for the same seed and batch."""
    totals = Totals()
    dice = random.Random(f"{seed} {batch}")
    names = sorted(READERS)
    for _ in range(count):
        name = dice.choice(names)
        corpus = READERS[name].corpus
        try_one(name, mutate(dice, dice.choice(corpus), corpus), totals)
    totals.megabytes = memory()
    return totals


def run_bomb(directory: Path, names: Sequence[str]) -> Totals:
    """Try each bomb in a directory on readers."""
    totals = Totals()
    for path in sorted(directory.iterdir()):
        body = path.read_bytes()
        for name in names:
            try_one(name, body[: READERS[name].most], totals)
    totals.megabytes = memory()
    return totals


def build_bombs(directory: Path) -> None:
    """Write every bomb into a directory."""
    for name, body in bombs():
        (directory / name).write_bytes(body)


def run_bombs(names: Sequence[str], *, processes: int) -> Totals:
    """Try every bomb on readers; who builds them needs memory of its own, and is a process of its own."""
    totals, fresh = Totals(), multiprocessing.get_context("spawn")
    with TemporaryDirectory() as directory:
        with ProcessPoolExecutor(1, mp_context=fresh) as builder:
            builder.submit(build_bombs, Path(directory)).result()
        with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
            for part in pool.map(
                run_bomb, [Path(directory)] * processes, [names[n::processes] for n in range(processes)]
            ):
                totals.add(part)
    return totals


def run(inputs: int, seed: int, *, processes: int, say: Callable[[str], None]) -> Totals:
    """Try ``inputs`` in several processes, and every bomb."""
    say(f"bombs: each of them to {len(READERS)} readers")
    totals = run_bombs(sorted(READERS), processes=processes)
    batches = -(-inputs // BATCH)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(run_batch, [seed] * batches, range(batches), [BATCH] * batches):
            totals.add(part)
            if totals.inputs.total() // SAID > (totals.inputs.total() - part.inputs.total()) // SAID:
                say(f"{totals.inputs.total():10,}  inputs so far, {len(totals.findings)} findings")
    return totals


def main() -> int:
    inputs, seed = int(os.environ.get("INPUTS") or 1_000_000), int(os.environ.get("SEED") or 1)
    started = time.monotonic()
    totals = run(inputs, seed, processes=os.cpu_count() or 1, say=partial(print, flush=True))
    for name in READERS:
        slowest = f"{totals.slowest.get(name, 0):7.3f} s the slowest"
        print(f"{totals.inputs[name]:10,}  {name:24} {totals.accepted[name]:9,} accepted {slowest}")
    print(f"{totals.inputs.total():10,}  inputs from seed {seed} in {time.monotonic() - started:.0f} s")
    print(f"{len(totals.findings):10,}  findings")
    print(f"{totals.megabytes:10,}  MB of memory at most")
    for line in totals.findings[:SHOWN]:
        print(line)
    if totals.megabytes > MAX_MEGABYTES:
        print(f"more than {MAX_MEGABYTES} MB")
    return 1 if totals.findings or totals.megabytes > MAX_MEGABYTES else 0


if __name__ == "__main__":
    sys.exit(main())
