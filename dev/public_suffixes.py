"""Write the public suffixes that ship, from a copy of the list: ``python -m dev.public_suffixes COPY``.

The list is published at https://publicsuffix.org/list/public_suffix_list.dat. Take a new copy once or twice a year.
"""

from __future__ import annotations

import sys
from pathlib import Path

import idna

from chalicelib.config.public_suffixes import LIST, PRIVATE


def shortened(text: str) -> str:
    """Return the rules of the list as ASCII, one a line, without remarks; the licence, version and date stay."""
    head = [line for line in text.splitlines()[:12] if line.startswith("//")]
    icann, _, private = text.partition("===BEGIN PRIVATE DOMAINS===")
    return "\n".join([*head, *_rules(icann), PRIVATE, *_rules(private), ""])


def _rules(text: str) -> list[str]:
    lines = [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("//")]
    return sorted({_ascii(line) for line in lines})


def _ascii(rule: str) -> str:
    mark = next((mark for mark in ("*.", "!") if rule.startswith(mark)), "")
    return mark + idna.encode(rule.removeprefix(mark), uts46=True).decode()


if __name__ == "__main__":
    LIST.write_text(shortened(Path(sys.argv[1]).read_text()))
