"""Mail as mailers write it, read by the standard library within bounds: its parts, their content, and their fields.

The standard library raises errors of its own on hostile headers, takes a time that grows with the square of a header's
length, descends without a limit, and reads an enclosed mail before its transfer encoding is undone. The classes here
bound the first three, and leave enclosed mails and feedback reports closed, so that ``content_of`` can decode them.
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
"""Most parts of one mail."""

MAX_MULTIPARTS = 8
"""How deep multiparts may lie in each other in one mail."""

MAX_HEADER = 2_000
"""Most characters of a header that are looked at: a boundary has 70, a file name 255."""

MAX_SENDER = 500
"""Most characters of the header From that are looked at: an address has 254, beside a name."""

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,40})\?[bBqQ]\?[^?\s]*\?=")
_BEFORE_HEADERS = re.compile(rb"\A(?:\xef\xbb\xbf|[\r\n]|>From [^\r\n]{0,1000})+")
"""What files and relays put in front of a mail: a byte order mark, empty lines, the line of a mailbox, quoted."""

_FIELD = re.compile(r"([!-9;-~]{1,76}):[ \t]*(.*)")
_LINE_END = re.compile(r"\r\n|\n|\r")
_SCHEME = re.compile(r"[a-z]{2,8}(?:\[:\]|:|\[://\])", re.IGNORECASE)

_HEADER_ERRORS = (MessageError, ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)
"""What the standard library raises on broken parameters and encoded words, such as a NUL in a charset."""

_NO_CHARSETS = frozenset(
    ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem", "palmos")
)
"""Codecs that no mailer writes text in. Python's own take a time that grows with the square, or invent escapes."""

Fields = list[tuple[str, str]]
"""Names in lower case, and values in which a line end stands where the value was folded."""


class _Policy(EmailPolicy):
    """Gives each header as text in one line and within bounds.

    The structured parser of this policy would take half a second for a content type of 2,000 characters, for each of
    the parts, and raises errors of its own; parameters are read from the text without it.
    """

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """Return what a header says."""
        text = _text(_LINE_END.sub(" ", value[:MAX_HEADER])).strip()
        if name.lower() == "content-transfer-encoding":
            return text.partition("(")[0].partition(";")[0].strip(' "')  # "base64 (as it comes)"
        return text


class Part(EmailMessage):
    """A mail or a part of one. What it encloses as ``message/…`` is content to decode, and not read by itself."""

    depth = 0

    def attach(self, payload: Any) -> None:
        """Add a part, as the parser does before it reads it. Raises UnreadableReport where it lies too deep."""
        payload.depth = self.depth + 1
        if payload.depth > MAX_MULTIPARTS:
            raise UnreadableReport(f"the mail nests deeper than {MAX_MULTIPARTS} levels")
        super().attach(payload)

    def get_content_maintype(self) -> str:
        """Return the first half of the content type; the parser descends into what is a ``message``."""
        main = super().get_content_maintype()
        return "text" if main == "message" else main

    def get_content_type(self) -> str:
        """Return the content type; plain text where the header cannot be read."""
        try:
            return super().get_content_type()
        except _HEADER_ERRORS:
            return "text/plain"

    def get_boundary(self, failobj: Any = None) -> Any:
        """Return the boundary; none where the header cannot be read."""
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
    """Return the parts of a mail that are no multiparts, in order; enclosed mails stay closed."""
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
    """Tell whether a name is that of a charset in which mailers write text."""
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
    """Return the URIs of every field of a name: what was folded is one URI again, unless another begins there."""
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
    """Undo the encoded words of RFC 2047; what cannot be decoded stays as it is."""
    from email.header import decode_header, make_header

    charsets = {word[1].partition("*")[0] for word in _ENCODED_WORD.finditer(value)}
    if not charsets or not all(map(_is_charset, charsets)):
        return _text(value)
    try:
        return _text(str(make_header(decode_header(value))))
    except _HEADER_ERRORS:
        return _text(value)


def _text(value: str) -> str:
    """Replace bytes that were no text: the parser keeps them as lone surrogates, which nothing can store."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_POLICY = _Policy()
