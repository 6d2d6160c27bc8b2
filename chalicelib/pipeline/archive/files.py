"""Files of an archive: made on disk with their SHA-256, put into the store once, and read back from it if another's
file lies there already.

What is in the store is the truth: whoever comes second goes on with what came first, so that a manifest describes
exactly the objects that lie beside it, whatever crashed or ran at the same time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast

from chalicelib.domain.errors import ArchiveIncomplete
from chalicelib.ports import Objects

BLOCK: Final = 256 * 1024
LEVEL: Final = 6
"""Of gzip: 9, which Python takes by itself, costs about twice the time and makes the files 7 % smaller."""

GZIP: Final = "application/gzip"
JSON: Final = "application/json"
CSV: Final = "text/csv"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it lies in the store, with a copy on disk. ``ours``: it is what we made."""

    key: str
    path: Path
    sha256: str
    bytes: int
    ours: bool

    def described(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"key": self.key, "sha256": self.sha256, "bytes": self.bytes}


class _Hashed:
    """A file that knows the SHA-256 of what was written to it."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


class ZippedFile:
    """A gzip file under way, the same bytes for the same content at any time: no name, no time in its header."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashed = _Hashed(path)
        self._gzip = gzip.GzipFile(
            filename="", mode="wb", fileobj=cast("IO[bytes]", self._hashed), mtime=0, compresslevel=LEVEL
        )
        self._lines: list[bytes] = []
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._gzip.close()
        self._hashed.file.close()

    def write(self, data: bytes) -> None:
        """Add content."""
        self._lines.append(data)
        self._waiting += len(data)
        if self._waiting >= BLOCK:  # a call of gzip for every line would cost as much as all else together
            self._flush()

    def _flush(self) -> None:
        self._gzip.write(b"".join(self._lines))
        self._lines.clear()
        self._waiting = 0

    def write_line(self, document: Mapping[str, Any]) -> None:
        """Add a JSON document as a line."""
        self.write(json_line(document))

    @property
    def sha256(self) -> str:
        """Of the file; right once it is closed."""
        return self._hashed.digest.hexdigest()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def json_line(document: Mapping[str, Any]) -> bytes:
    """A JSON document on one line, as Athena reads it."""
    return _encode(document).encode("utf-8", "replace") + b"\n"


def store(objects: Objects, key: str, file: ZippedFile) -> Stored:
    """Put a closed file; where another lies there already, take that in its place. Raises as ``fetch`` does."""
    if objects.put_new_file(key, file.path, sha256=file.sha256, content_type=GZIP):
        return Stored(key, file.path, file.sha256, file.path.stat().st_size, ours=True)
    if objects.sha256(key) == file.sha256:
        return Stored(key, file.path, file.sha256, file.path.stat().st_size, ours=True)
    return fetch(objects, key, file.path)


def store_small(objects: Objects, key: str, body: bytes, *, content_type: str) -> dict[str, Any]:
    """Put a small object, or take the one that lies there; return what a manifest says of it."""
    if not objects.put_new(key, body, content_type=content_type):
        found = objects.get(key)
        if found is None:
            raise ArchiveIncomplete(f"{key} is being written by somebody else")
        body = found
    return {"key": key, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}


def fetch(objects: Objects, key: str, path: Path) -> Stored:
    """Copy an object to disk. Raises ArchiveIncomplete if there is none, or what came is not what the store has."""
    expected = objects.sha256(key)
    if expected is None:
        raise ArchiveIncomplete(f"{key} is being written by somebody else")
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for block in objects.blocks(key):
            digest.update(block)
            size += len(block)
            file.write(block)
    if digest.hexdigest() != expected:
        raise ArchiveIncomplete(f"{key} did not come as the store has it")
    return Stored(key, path, expected, size, ours=False)


def unzipped(path: Path) -> Iterator[bytes]:
    """The content of a gzip file, a block at a time."""
    with gzip.open(path, "rb") as file:
        while block := file.read(BLOCK):
            yield block


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a zipped file of JSON lines."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield json.loads(line)
