"""STIX patterns: which URLs alone satisfy one. https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html, 9."""

from __future__ import annotations

import re
from collections.abc import Iterator

URL_PATH = "url:value"

_NAME = r"(?:[A-Za-z0-9_-]++|'[^'\\]*+')"
_TOKEN = re.compile(
    rf"""\s*+(?:
        (?P<text>[thb]?'[^'\\]*+(?:\\['\\][^'\\]*+)*+')    # 'a string', t'2026-…'; \' and \\ are all escapes
      | (?P<path>[A-Za-z][A-Za-z0-9_-]*+:{_NAME}(?:\.{_NAME}|\[(?:-?[0-9]++|\*)\])*+)
      | (?P<word>[A-Za-z]++)
      | (?P<sign>!=|<=|>=|==|[=<>])
      | (?P<bracket>[][(),])
      | (?P<number>[+-]?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?![0-9.]))
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(['\\])")

_Token = tuple[str, str]
_END: _Token = ("end", "")


class _NotSufficient(Exception):
    """The pattern is not a plain choice of values, or no pattern."""


def pattern_urls(pattern: str) -> list[str] | None:
    """Return the URLs that each alone satisfy a pattern; ``None`` if it is more than a choice, or no pattern.

    It goes through the pattern once, whatever the pattern holds.
    """
    try:
        return _choice(_tokens(pattern.rstrip()))
    except _NotSufficient:
        return None


def _tokens(pattern: str) -> Iterator[_Token]:
    end = 0
    while end < len(pattern):
        token = _TOKEN.match(pattern, end)
        if token is None:
            raise _NotSufficient
        yield token.lastgroup or "", token[token.lastgroup or ""]
        end = token.end()
    while True:
        yield _END


def _choice(tokens: Iterator[_Token]) -> list[str]:
    """Read ``path = value`` and ``path IN (values)`` joined by OR, in observations joined by OR.

    If everything is joined by OR, brackets change nothing; they only have to match. Square brackets enclose an
    observation: comparisons are inside, and observations outside.
    """
    urls: list[str] = []
    brackets: list[str] = []  # the closing ones of those that are open
    inside = False
    token = next(tokens)
    while True:
        while token == ("bracket", "(") or (token == ("bracket", "[") and not inside):
            brackets.append(")" if token[1] == "(" else "]")
            inside = inside or token[1] == "["
            token = next(tokens)
        if not inside:
            raise _NotSufficient
        urls += _comparison(token, tokens)
        token = next(tokens)
        while brackets and token == ("bracket", brackets[-1]):
            brackets.pop()
            inside = inside and token[1] == ")"
            token = next(tokens)
        if token == _END and not brackets:
            return urls
        if token != ("word", "OR"):
            raise _NotSufficient
        token = next(tokens)


def _comparison(path: _Token, tokens: Iterator[_Token]) -> list[str]:
    """Read the operator and the operand after a path; return the URLs among the values."""
    if path[0] != "path":
        raise _NotSufficient
    operator = next(tokens)
    values: list[_Token] = []
    if operator in (("sign", "="), ("sign", "==")):
        values.append(next(tokens))
    elif operator == ("word", "IN") and next(tokens) == ("bracket", "("):
        values.append(next(tokens))
        while (separator := next(tokens)) == ("bracket", ","):
            values.append(next(tokens))
        if separator != ("bracket", ")"):
            raise _NotSufficient
    else:
        raise _NotSufficient
    if not all(map(_is_value, values)):
        raise _NotSufficient
    if path[1] != URL_PATH:
        return []
    return [_ESCAPE.sub(r"\1", text[1:-1]) for kind, text in values if kind == "text" and text[0] == "'"]


def _is_value(token: _Token) -> bool:
    return token[0] in ("text", "number") or token in (("word", "true"), ("word", "false"))
