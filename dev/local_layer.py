"""Repack the layer of a package for MiniStack, which unpacks it anew for each worker it starts.

Two differences from the layer that goes to AWS, none in what the functions can do:

- The packages stand in ``python/``, AWS's other layout: MiniStack puts that before its own packages, and
  ``python/lib/…/site-packages`` after them, where an older boto3 of its own would hide ours.
- botocore's descriptions of services that no role may use are left out: they are most of the layer.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any


def services_of(template: dict[str, Any]) -> set[str]:
    """Return the services that the roles of a template may call."""
    return {
        action.partition(":")[0]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"].get("Policies", [])
        for rule in policy["PolicyDocument"]["Statement"]
        for action in rule["Action"]
    }


def repack(layer: Path, services: set[str]) -> Path:
    """Return a layer for MiniStack made of ``layer``; kept beside it."""
    digest = hashlib.sha256(json.dumps(sorted(services)).encode()).hexdigest()[:8]
    repacked = layer.with_name(f"local-layer-{digest}.zip")
    if repacked.exists():
        return repacked
    with tempfile.TemporaryDirectory(dir=layer.parent) as directory:
        packages = Path(directory) / "python"
        with zipfile.ZipFile(layer) as source:
            for entry in source.infolist():
                _, _, inside = entry.filename.partition("/site-packages/")
                if inside and not entry.is_dir() and _is_needed(inside, services):
                    target = packages / inside
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(source.read(entry))
        unfinished = Path(directory) / "layer.zip"
        with zipfile.ZipFile(unfinished, "w") as target_zip:
            for file in sorted(packages.rglob("*")):
                if file.is_file():
                    target_zip.write(file, file.relative_to(directory))
        unfinished.rename(repacked)
    return repacked


def _is_needed(inside: str, services: set[str]) -> bool:
    parts = inside.split("/")
    if parts[0] in {"boto3", "botocore"} and parts[1] == "data" and len(parts) > 3:
        return parts[2] in services
    return parts[:2] != ["boto3", "examples"]
