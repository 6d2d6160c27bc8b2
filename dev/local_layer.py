"""Repack the layer of a package for MiniStack, which unpacks it anew for each worker it starts.

The packages stand in ``python/``, AWS's other layout: MiniStack puts that before its own packages, and
``python/lib/…/site-packages`` after them, where an older boto3 of its own would hide ours. Nothing is compressed, since
it is unpacked more often than it is sent.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path


def repacked(layer: Path) -> bytes:
    """Return a layer's archive as MiniStack needs it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(layer) as source, zipfile.ZipFile(archive, "w") as target:
        for entry in source.infolist():
            _, _, inside = entry.filename.partition("/site-packages/")
            target.writestr(f"python/{inside}", source.read(entry))
    return archive.getvalue()
