"""Tell names below which strangers register names of their own: ``com``, ``co.uk``, ``github.io``.

The list is from publicsuffix.org, shortened by ``dev/public_suffixes.py``. Its first lines name its day. It is read
when a policy is first parsed, in two to eight milliseconds, and not when the app is imported.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

LIST = Path(__file__).with_suffix(".txt")
PRIVATE = "// private"
"""The line before the suffixes of companies, such as ``github.io``. The suffixes above it are of registries."""


def registry_suffix(name: str) -> bool:
    """Tell whether a canonical host name is a suffix of a registry, such as ``co.uk``. No company owns one."""
    return _matches(_sections()[0], name)


def company_suffix(name: str) -> bool:
    """Tell whether a canonical host name is a suffix that a company lets its customers use, such as ``github.io``."""
    return _matches(_sections()[1], name)


def _matches(rules: frozenset[str], name: str) -> bool:
    if f"!{name}" in rules:
        return False
    above = name.partition(".")[2]
    return name in rules or f"*.{above}" in rules


@cache
def _sections() -> tuple[frozenset[str], frozenset[str]]:
    registries, _, companies = LIST.read_text(encoding="ascii").partition(PRIVATE)
    return frozenset(registries.splitlines()), frozenset(companies.splitlines())
