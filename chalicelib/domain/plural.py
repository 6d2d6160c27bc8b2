"""Write numbers with their nouns, for messages to people. Pure."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: ``1 URL``, ``2,000 URLs``. ``many`` is a plural that is not the noun and an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
