"""The SDK of edgeban: report URLs, follow them, and do what operators do, from Python.

    from edgeban import Client, Reporter

    reporter = Reporter("https://api.example.com/api", source="desk", secret=secret)
    receipt = reporter.report(["https://www.example.com/login"], category="phishing")
    print(reporter.wait(receipt["report_id"], seconds=60)["counts"])

    client = Client("https://api.example.com/api", token=token)
    for ban in client.bans(host=".example.com"):
        print(ban["url"], ban["until"])

The names are loaded when they are used, so that ``edgeban --help`` does not wait for ``requests``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeban.client import Client
    from edgeban.errors import EdgebanError, Unreachable
    from edgeban.reporter import Reporter

__all__ = ["Client", "EdgebanError", "Reporter", "Unreachable", "__version__"]

_HOMES = {
    "Client": "edgeban.client",
    "EdgebanError": "edgeban.errors",
    "Reporter": "edgeban.reporter",
    "Unreachable": "edgeban.errors",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("edgeban")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgeban' has no attribute {name!r}")
