"""Write-once objects in the archive bucket: implements ``ports.Objects``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any


class Bucket:
    """One bucket. Every write is conditional, and its SHA-256 is verified by S3."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def put_new(self, key: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None) -> bool:
        """See ``Objects.put_new``. Raises what S3 raises, among it BadDigest if the bytes were changed on the way."""
        try:
            self._client.put_object(
                Bucket=self._name,
                Key=key,
                Body=body,
                ContentType=content_type,
                Metadata=dict(metadata or {}),
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
                IfNoneMatch="*",
            )
        except self._client.exceptions.ClientError as error:
            # 409: another write of the key is under way; it is that one's object then, as with 412.
            if error.response["Error"]["Code"] in {"PreconditionFailed", "ConditionalRequestConflict"}:
                return False
            raise
        return True

    def get(self, key: str) -> bytes | None:
        """See ``Objects.get``."""
        try:
            return bytes(self._client.get_object(Bucket=self._name, Key=key)["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def keys(self, prefix: str) -> list[str]:
        """See ``Objects.keys``."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", []))
