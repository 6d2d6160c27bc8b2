"""The console's files: a page in the browser over the routes for operators. See docs/console.md.

The files are served by a fixed table of names. Every file except the page itself is served under the digest of all
files: a browser may keep it for ever, and a page never loads files of two versions of the console.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from chalice.app import Request, Response

FOLDER = Path(__file__).parents[1] / "console"
PAGE = "index.html"

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}

CONTENT_SECURITY_POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"),
    ]
)

HEADERS: dict[str, str | list[str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of every answer, also of a refusal."""

FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


class Console(NamedTuple):
    """The files as they are served: their text by name, and the digest under which they are found."""

    version: str
    texts: dict[str, str]

    @property
    def etag(self) -> str:
        """The page's tag: it changes with any file."""
        return f'"{self.version}"'


@cache
def console() -> Console:
    """Read the files once for each process."""
    texts = {path.name: path.read_text() for path in sorted(FOLDER.iterdir()) if path.suffix in CONTENT_TYPES}
    digest = hashlib.sha256()
    for name, text in texts.items():
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    version = digest.hexdigest()[:16]
    return Console(version, {**texts, PAGE: texts[PAGE].replace("{version}", version)})


def enter() -> Response:
    """Answer ``GET /console``: send the browser to the page, under the stage's own path."""
    return Response(body="", status_code=302, headers={**HEADERS, "Location": f"console/{PAGE}"})


def page(request: Request) -> Response:
    """Answer ``GET /console/index.html``; 304 to a browser that has this version."""
    known = console()
    headers = {**HEADERS, "Cache-Control": ASK_AGAIN, "ETag": known.etag}
    if known.etag in request.headers.get("if-none-match", ""):
        return Response(body="", status_code=304, headers=headers)
    return Response(
        body=known.texts[PAGE], status_code=200, headers={**headers, "Content-Type": CONTENT_TYPES[".html"]}
    )


def file(version: str, name: str) -> Response:
    """Answer ``GET /console/{version}/{file}``: 404 for another version, so that a page never mixes two versions."""
    known = console()
    if version != known.version or name not in known.texts or name == PAGE:
        message = "the console has no such file: load the page again"
        return Response(
            body=message,
            status_code=404,
            headers={**HEADERS, "Content-Type": CONTENT_TYPES[".txt"], "Cache-Control": "no-store"},
        )
    kept = {"Content-Type": CONTENT_TYPES[Path(name).suffix], "Cache-Control": FOR_GOOD}
    return Response(body=known.texts[name], status_code=200, headers={**HEADERS, **kept})
