"""The URLs that are never banned. Pure.

A look-up takes constant time, however long the list is, except that the prefixes of one host are tried one by one. URLs
and prefixes are normalised with ``wide`` before they are compared. So every other spelling of a protected page is
protected, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.domain.policy.wide import WideForm, wide


@dataclass(frozen=True, slots=True)
class Protection:
    """One entry of ``protected``. ``expires`` is aware; ``None`` means never."""

    entry: str
    comment: str = ""
    expires: datetime | None = None

    def holds(self, now: datetime | None) -> bool:
        """Return whether the entry protects at ``now``. If ``now`` is ``None``, every entry does."""
        return self.expires is None or now is None or now < self.expires


@dataclass(frozen=True, slots=True)
class Protected:
    """The URLs that are never banned. An entry without a query covers its page with every query, scheme and port."""

    hosts: Mapping[str, Protection] = field(default_factory=dict)
    below: Mapping[str, Protection] = field(default_factory=dict)
    """Wildcards. The entry ``*.example.com`` is stored under ``example.com``."""
    urls: Mapping[tuple[str, str, str], Protection] = field(default_factory=dict)
    """By host, page and query."""
    prefixes: Mapping[str, tuple[tuple[WideForm, Protection], ...]] = field(default_factory=dict)
    """By host."""
    url_hosts: frozenset[str] = frozenset()
    """Hosts with an entry in ``urls``. Only these hosts, and those in ``prefixes``, need the wide form of a URL."""
    ignore_case: bool = True
    """Whether paths and queries that differ only in case are one page."""

    def find(self, url: str, host: str, now: datetime | None, *, ignores_queries: bool = False) -> Protection | None:
        """Return an entry that protects a canonical URL at a moment.

        A CDN that ``ignores_queries`` bans the page with every query: an entry with any query then protects it.
        """
        host = host.rstrip(".")
        found = self.hosts.get(host)
        if found and found.holds(now):
            return found
        dot = host.find(".") if self.below else -1
        while dot >= 0:
            found = self.below.get(host[dot + 1 :])
            if found and found.holds(now):
                return found
            dot = host.find(".", dot + 1)
        if host not in self.url_hosts and host not in self.prefixes:
            return None
        form = wide(url, ignore_case=self.ignore_case)
        return next((each for each in self._of_page(form, ignores_queries=ignores_queries) if each.holds(now)), None)

    def _of_page(self, form: WideForm, *, ignores_queries: bool) -> Iterator[Protection]:
        """Yield the entries that cover a page, whether they have expired or not."""
        if ignores_queries:
            yield from (entry for key, entry in self.urls.items() if key[:2] == (form.host, form.page))
        for query in ("", form.query):
            if found := self.urls.get((form.host, form.page, query)):
                yield found
        for prefix, protection in self.prefixes.get(form.host, ()):
            if _begins(form, prefix, ignores_queries=ignores_queries):
                yield protection


def _begins(form: WideForm, prefix: WideForm, *, ignores_queries: bool) -> bool:
    if prefix.query:
        return form.page == prefix.page and (ignores_queries or form.query.startswith(prefix.query))
    return form.path.startswith(prefix.path)
