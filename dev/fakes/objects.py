"""The archive bucket in memory: write-once, with its checksums verified, and its state in the open."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import Any


class MemoryObjects:
    """Implements ``ports.Objects`` over a dict. ``puts`` counts the objects that were written."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self._lock = RLock()

    def put_new(self, key: str, body: bytes, *, content_type: str) -> bool:
        with self._lock:
            if key in self.objects:
                return False
            self.objects[key] = body
            self.puts.append(key)
            return True

    def put_new_file(self, key: str, path: Path, *, sha256: str, content_type: str) -> bool:
        body = path.read_bytes()
        assert hashlib.sha256(body).hexdigest() == sha256, "the store would refuse these bytes"
        return self.put_new(key, body, content_type=content_type)

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def blocks(self, key: str) -> Iterator[bytes]:
        body = self.objects[key]
        yield from (body[start : start + 1000] for start in range(0, len(body), 1000))

    def sha256(self, key: str) -> str | None:
        return hashlib.sha256(self.objects[key]).hexdigest() if key in self.objects else None

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    # --- what came of it ------------------------------------------------------------------------------------------

    def documents(self, key: str) -> list[dict[str, Any]]:
        """The JSON lines of an object, zipped or not."""
        body = self.objects[key]
        text = gzip.decompress(body) if key.endswith(".gz") else body
        return [json.loads(line) for line in text.splitlines()]

    def sound(self, manifest: str) -> None:
        """Hold a manifest against the objects that it names."""
        (said,) = self.documents(manifest)
        for each in said["objects"].values():
            body = self.objects[each["key"]]
            assert (each["sha256"], each["bytes"]) == (hashlib.sha256(body).hexdigest(), len(body)), each["key"]
            if "content_sha256" in each:
                content = gzip.decompress(body)
                assert each["content_sha256"] == hashlib.sha256(content).hexdigest()
                assert each["content_bytes"] == len(content)
