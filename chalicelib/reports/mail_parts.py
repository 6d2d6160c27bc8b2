"""Read mails with the standard library, within limits: their parts, the content of the parts, and their fields.

The standard library raises its own errors on hostile headers, takes a time that grows with the square of a header's
length, descends without a limit, and reads an enclosed mail before its transfer encoding is undone. The classes here
limit the first three. They do not parse enclosed mails and feedback reports, so that ``content_of`` can decode these.
"""

from __future__ import annotations

import codecs
import re
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any, cast

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.reports import reading

MAX_PARTS = 500
"""The most parts of one mail."""

MAX_MULTIPARTS = 8
"""How deep multiparts may be nested in one mail."""

MAX_HEADER = 2_000
"""How many characters of a header are read, at most: a boundary has 70, a file name 255."""

MAX_SENDER = 500
"""How many characters of the header From are read, at most: an address has 254, beside a name."""

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,40})\?[bBqQ]\?[^?\s]*\?=")
_BEFORE_HEADERS = re.compile(rb"\A(?:\xef\xbb\xbf|[\r\n]|>From [^\r\n]{0,1000})+")
"""What files and relays put before a mail: a byte order mark, empty lines, the first line of a mailbox, also quoted."""

_FIELD = re.compile(r"([!-9;-~]{1,76}):[ \t]*(.*)")
_LINE_END = re.compile(r"\r\n|\n|\r")
_SCHEME = re.compile(r"[a-z]{2,8}(?:\[:\]|:|\[://\])", re.IGNORECASE)

_HEADER_ERRORS = (MessageError, ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)
"""The errors that the standard library raises on broken parameters and encoded words, such as a NUL in a charset."""

_NO_CHARSETS = frozenset(
    ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem", "palmos")
)
"""Codecs in which no mailer writes text. Python's own codecs take a time that grows with the square, or add escapes."""

Fields = list[tuple[str, str]]
"""Names in lower case, with their values. A value has a line end where it was folded."""


class _Policy(EmailPolicy):
    """A policy of the mail parser: each header becomes one line of text of limited length.

    The structured parser of the standard policy takes half a second for a content type of 2,000 characters, for each
    part, and raises its own errors. Parameters are read from the text without it.
    """

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """Return what a header says."""
        text = _text(_LINE_END.sub(" ", value[:MAX_HEADER])).strip()
        if name.lower() == "content-transfer-encoding":
            return text.partition("(")[0].partition(";")[0].strip(' "')  # "base64 (as it comes)"
        return text


class Part(EmailMessage):
    """A mail or a part of one. A part ``message/…`` is content to decode: it is not parsed as a mail."""

    depth = 0

    def attach(self, payload: Any) -> None:
        """Add a part; the parser does so before it reads the part. Raises UnreadableReport if it is nested too deep."""
        payload.depth = self.depth + 1
        if payload.depth > MAX_MULTIPARTS:
            raise UnreadableReport(f"the mail nests deeper than {MAX_MULTIPARTS} levels")
        super().attach(payload)

    def get_content_maintype(self) -> str:
        """Return the first half of the content type; the parser would descend into a ``message``."""
        main = super().get_content_maintype()
        return "text" if main == "message" else main

    def get_content_type(self) -> str:
        """Return the content type; plain text if the header cannot be read."""
        try:
            return super().get_content_type()
        except _HEADER_ERRORS:
            return "text/plain"

    def get_boundary(self, failobj: Any = None) -> Any:
        """Return the boundary; none if the header cannot be read."""
        try:
            return super().get_boundary(failobj)
        except _HEADER_ERRORS:
            return failobj


def read_mail(body: bytes) -> Part:
    """Read a mail and its parts. Raises UnreadableReport and TooLarge."""
    from email.parser import BytesParser

    parts = 0

    def part(policy: Any = None) -> Part:
        nonlocal parts
        parts += 1
        if parts > MAX_PARTS:
            raise TooLarge(f"the mail has more than {MAX_PARTS} parts")
        return Part(policy=policy or _POLICY)

    try:
        return cast("Part", BytesParser(part, policy=_POLICY).parsebytes(_BEFORE_HEADERS.sub(b"", body, count=1)))
    except RecursionError:
        raise UnreadableReport(f"the mail nests deeper than {MAX_MULTIPARTS} levels") from None
    except _HEADER_ERRORS:
        raise UnreadableReport("the mail cannot be read: send a report as of RFC 5965") from None


def leaves(mail: Part) -> list[Part]:
    """Return the parts of a mail that are no multiparts, in order. Enclosed mails are one part each."""
    if not mail.is_multipart():
        return [mail]
    return [leaf for part in mail.get_payload() if isinstance(part, Part) for leaf in leaves(part)]


def content_of(part: Part) -> bytes:
    """Return the content of a part with its transfer encoding undone, and text in UTF-8."""
    try:
        content = part.get_payload(decode=True)
        charset = part.get_content_charset() or "utf-8"
    except _HEADER_ERRORS:
        return b""
    if not isinstance(content, bytes):
        return b""
    if charset in ("utf-8", "us-ascii", "ascii") or not _is_charset(charset):
        return content
    try:
        return content.decode(charset, "replace").encode("utf-8", "replace")
    except (LookupError, ValueError):  # a codec that is none of text
        return content


def _is_charset(name: str) -> bool:
    """Tell whether a name names a charset in which mailers write text."""
    try:
        return codecs.lookup(name).name.replace("_", "-") not in _NO_CHARSETS
    except (LookupError, ValueError):
        return False


def filename_of(part: Part) -> str:
    """Return the name of an attachment, or nothing."""
    try:
        name = part.get_filename() or part.get_param("name") or ""
    except _HEADER_ERRORS:
        return ""
    return _decoded(name) if isinstance(name, str) else ""


def headers_of(part: Part) -> Fields:
    """Return the headers of a part as they are written."""
    return [(name.lower(), _LINE_END.sub("\n", value)) for name, value in part.raw_items()]


def fields_in(content: bytes) -> Fields:
    """Read the fields of a feedback report, which are written like headers. Empty lines around them are left out."""
    fields: Fields = []
    for line in _LINE_END.split(content.decode("utf-8-sig", "replace")):
        if line[:1] in (" ", "\t") and fields:
            name, value = fields[-1]
            fields[-1] = (name, f"{value}\n{line}")
        elif field := _FIELD.fullmatch(line):
            fields.append((field[1].lower(), field[2]))
        elif line.strip() and fields:
            break  # what follows the fields is no field
    return fields


def first(fields: Fields, name: str) -> str:
    """Return the first field of a name in one line, or nothing."""
    value = next((value for field, value in fields if field == name), "")
    return _decoded(" ".join(piece.strip() for piece in value[:MAX_HEADER].split("\n")).strip())


def uris(fields: Fields, name: str) -> list[str]:
    """Return the URIs of every field with a name. A folded URI is joined, unless another URI begins in the new line."""
    found = []
    for field, value in fields:
        if field == name:
            pieces = [piece.strip(" \t") for piece in value[: reading.MAX_URL_TEXT].split("\n")]
            joined = "".join(f" {piece}" if _SCHEME.match(piece) else piece for piece in pieces)
            uri = _decoded(joined.strip(" \t"))
            found.append(uri[1:-1].strip(" \t") if uri.startswith("<") and uri.endswith(">") else uri)
    return [uri for uri in found if uri]


def address_of(part: Part) -> str:
    """Return the address in the header From, or nothing."""
    from email.utils import parseaddr

    try:
        return parseaddr(first(headers_of(part), "from")[:MAX_SENDER])[1][: reading.MAX_REPORTER_LENGTH]
    except _HEADER_ERRORS:
        return ""


def _decoded(value: str) -> str:
    """Undo the encoded words of RFC 2047. A word that cannot be decoded stays as it is."""
    from email.header import decode_header, make_header

    charsets = {word[1].partition("*")[0] for word in _ENCODED_WORD.finditer(value)}
    if not charsets or not all(map(_is_charset, charsets)):
        return _text(value)
    try:
        return _text(str(make_header(decode_header(value))))
    except _HEADER_ERRORS:
        return _text(value)


def _text(value: str) -> str:
    """Replace bytes that were no text: the parser keeps these as lone surrogates, which cannot be stored."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_POLICY = _Policy()
