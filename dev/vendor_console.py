"""Copy the console's libraries into ``chalicelib/console``: ``python -m dev.vendor_console``.

``console-vendor.lock`` names each package with its version and its integrity. This packs them with npm, checks each
archive against its integrity, and writes the few files that the console needs, with their licences. Building, testing
and serving the console need no npm.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from dev.package import ROOT

LOCK = ROOT / "console-vendor.lock"
CONSOLE = ROOT / "chalicelib" / "console"


class WrongArchive(Exception):
    """A packed archive is not the one that the lock names."""


def packed(name: str, version: str, integrity: str, place: Path) -> Path:
    """Return npm's archive of a package. Raises WrongArchive if its integrity is another."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(place), f"{name}@{version}"]
    file = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    archive = place / file
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != integrity:
        raise WrongArchive(f"{name} {version} has the integrity {digest}, the lock names {integrity}")
    return archive


def vendored(package: dict[str, Any], archive: Path) -> dict[str, bytes]:
    """Return the console's files of one package by name: modules with a banner, and the licence."""
    name, version = package["name"], package["version"]
    files: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:

        def text(member: str) -> str:
            stream = tar.extractfile(f"package/{member}")
            assert stream is not None
            return stream.read().decode()

        licence = f"{name}.LICENSE.txt"
        files[licence] = text("LICENSE").encode()
        for target, file in package["files"].items():
            body = text(file["from"])
            for old, new in file.get("replace", {}).items():
                if old not in body:
                    raise WrongArchive(f"{name}: {old!r} is not in {file['from']}")
                body = body.replace(old, new)
            lines = [line for line in body.splitlines() if not line.startswith("//# sourceMappingURL=")]
            banner = f"/*! {name} {version}, {package['licence']}, see {licence} */"
            files[target] = "\n".join([banner, *lines, *file.get("append", []), ""]).encode()
    return files


def main() -> int:
    """Write every file that the lock names, and the lock with the digest of each."""
    lock = json.loads(LOCK.read_text())
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        for package in lock["packages"]:
            archive = packed(package["name"], package["version"], package["integrity"], Path(place))
            for name, body in vendored(package, archive).items():
                (CONSOLE / name).write_bytes(body)
                digests[name] = hashlib.sha256(body).hexdigest()
                sys.stdout.write(f"{name}  {len(body):,} bytes\n")
    lock["sha256"] = digests
    LOCK.write_text(json.dumps(lock, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
