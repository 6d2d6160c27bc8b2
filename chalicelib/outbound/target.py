"""Decide which URLs and addresses may be called. The text of a URL is judged before any connection is opened."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from chalicelib.domain.errors import DownloadRefused

MAX_URL: Final = 4096
"""Most characters of a URL. Signed URLs of a vendor's storage have a few hundred."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_CHARACTERS = re.compile(r"[!-\[\]-~]*")  # printable ASCII without space and backslash
_PATH = re.compile(r"[!$%&'()*+,\-./0-9:;=?@A-Z_a-z~\[\]|]*")

# IPv6 addresses that contain an IPv4 address, which would need rules of its own. Nobody needs them here.
_EMBEDDING = [
    ipaddress.IPv6Network(text)
    for text in (
        "::/96",  # IPv4-compatible, with :: and ::1
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated (SIIT)
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
]
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_IPV4 = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared address space (CGNAT), with a cloud's metadata service at 100.100.100.200
        "168.63.129.16/32",  # Azure's host service: public in the registry, private in fact
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "240.0.0.0/4",
    )
]


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL that may be called."""

    host: str
    port: int
    tls: bool
    path: str
    """Path and query as they are sent."""
    loopback: bool = False

    @property
    def authority(self) -> str:
        """Return the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the whole URL, for relative redirects."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"


def read_target(url: str, hosts: tuple[str, ...], loopback: tuple[str, ...]) -> Target:
    """Read a download URL. A URL without a scheme means https.

    Only https on port 443 to ``hosts`` is allowed; ``http://`` is taken as https, which a vendor's storage serves at
    the same paths. ``loopback`` lists ``host:port`` on this machine, where http and the port are taken as written.

    Raises ``DownloadRefused``. Its message shows the host at most, because the query may hold a signature.
    """
    if not url or len(url) > MAX_URL or not _CHARACTERS.fullmatch(url):
        raise DownloadRefused("the download URL is empty, too long, or holds a space, a backslash or more than ASCII")
    scheme = "https"
    written = _SCHEME.match(url)
    if written:
        scheme = written[1].lower()
        url = url[written.end() :]
    if scheme not in ("http", "https"):
        raise DownloadRefused(f"the download URL's scheme is {scheme[:20]}, not https")
    end = next((index for index, sign in enumerate(url) if sign in "/?#"), len(url))
    authority, path = url[:end].lower(), url[end:]
    if not path.startswith("/"):
        path = f"/{path}"
    if not _PATH.fullmatch(path):
        raise DownloadRefused("the download URL's path holds a character that must be escaped, or a fragment")
    if authority in loopback:
        # A simulator has no certificate, so a URL without a scheme means http there.
        host, _, port = authority.rpartition(":")
        return Target(host.strip("[]"), int(port), tls=bool(written) and scheme == "https", path=path, loopback=True)
    host = authority.removesuffix(":443")
    if not _HOST.fullmatch(host) or not _allowed(host, hosts):
        raise DownloadRefused(f"the download URL's host is not allowed: {host[:100]!r}")
    return Target(host, 443, tls=True, path=path)


def refused_address(text: str, *, loopback: bool) -> str:
    """Say why an address must not be connected to; empty if it may be.

    ``loopback``: the target is a simulator, so the address must be on this machine.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "which is not an address"
    if loopback:
        return "" if address.is_loopback else "which is not on this machine"
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _EMBEDDING):
            return "which contains an IPv4 address"
        if address.scope_id is not None or address not in _GLOBAL_IPV6:
            return "which is not public"
    elif any(address in network for network in _NOT_PUBLIC_IPV4):
        return "which is not public"
    # Private, loopback, link-local (with 169.254.169.254), documentation and the like.
    return "" if address.is_global and not address.is_multicast else "which is not public"


def _allowed(host: str, patterns: tuple[str, ...]) -> bool:
    return any(host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern for pattern in patterns)
