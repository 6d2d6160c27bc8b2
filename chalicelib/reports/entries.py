"""Collect what a body names: URLs within the limits of one report, withdrawals, and the parts that are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.link_wrappers import unwrap_link
from chalicelib.domain.model import ParsedReport, ReportedUrl, Skipped, Withdrawal
from chalicelib.domain.plural import counted
from chalicelib.domain.urls import refang, unescape_html
from chalicelib.reports import reading
from chalicelib.reports.reading import Json, ParserOptions

MAX_SKIPPED = 1_000
"""How many parts without a URL a report lists one by one. The rest is only counted."""

Parser = Callable[[bytes, ParserOptions], ParsedReport]
"""The parser of a format. For any bytes it raises UnreadableReport or TooLarge, and nothing else."""


class Entries:
    """Collects what a body names.

    A part of a body ends in one of four ways: it names a URL (``add``), it takes one back (``withdraw``), it is
    understood and names nothing to ban (``skip``), or it cannot be read (``flaw``). One bad part never spoils the
    others. If every part is bad, the whole body is refused.
    """

    def __init__(self, options: ParserOptions) -> None:
        self._options = options
        self._respelled = options.defanged or options.html_escaped or options.unwrap_links
        self._urls: list[ReportedUrl] = []
        self._withdrawals: list[Withdrawal] = []
        self._skipped: list[Skipped] = []
        self._skips = self._elsewhere = 0
        self._scoped = False
        self._first_flaw = ""
        self._flaws = 0

    def add(self, entry: ReportedUrl) -> None:
        """Add a URL, after undoing the spelling that the source's options name.

        If a body names more URLs than a report may, URLs on other hosts no longer count: a published feed names
        thousands of pages, and only a few are on our hosts. Raises TooLarge at the first URL of ours too many.
        """
        if self._respelled:
            entry = entry._replace(url=self._respell(entry.url))
        if self._scoped or len(self._urls) >= self._options.max_urls:
            self._keep_ours()
            if not self._is_ours(entry):
                self._elsewhere += 1
                return
            if len(self._urls) >= self._options.max_urls:
                raise TooLarge(f"the report names more than {counted(self._options.max_urls, 'URL')}: send it in parts")
        self._urls.append(entry)

    def withdraw(self, withdrawal: Withdrawal, where: str) -> None:
        """Note that the source takes back its word about a URL. This part bans nothing."""
        if len(self._withdrawals) >= self._options.max_urls:
            raise TooLarge(f"the report withdraws more than {counted(self._options.max_urls, 'URL')}: send it in parts")
        if self._respelled:
            withdrawal = replace(withdrawal, url=self._respell(withdrawal.url))
        self._withdrawals.append(withdrawal)
        self.skip(where, withdrawal.reason)

    def skip(self, where: str, reason: str) -> None:
        """Note a part that names nothing to ban."""
        self._skips += 1
        if len(self._skipped) < MAX_SKIPPED:
            self._skipped.append(Skipped(where, reason))

    def flaw(self, where: str, problem: str) -> None:
        """Note a part that cannot be read. ``problem`` is a sentence that stands alone."""
        self._flaws += 1
        self._first_flaw = self._first_flaw or problem
        self.skip(where, problem)

    def objects(self, items: Iterable[Json], place: str = "") -> Iterator[tuple[str, dict[str, Json]]]:
        """Yield the JSON objects of an array with their places, such as ``urls[3]``. Any other item is a flaw."""
        for index, item in enumerate(items):
            where = f"{place}[{index}]"
            if isinstance(item, dict):
                yield where, item
            else:
                self.flaw(where, f"{where} must be an object, not {reading.kind_of(item)}")

    def report(self, *, correlation_id: str = "", test: bool = False) -> ParsedReport:
        """Return all that was collected. Raises UnreadableReport if no part of the body could be read."""
        if self._flaws and self._flaws == self._skips and not self._urls and not self._elsewhere:
            raise UnreadableReport(self._first_flaw)
        skipped = self._skipped
        if self._skips > len(skipped):
            more = f"{self._skips - len(skipped):,} more parts name nothing to ban"
            skipped = [*skipped, Skipped("the rest", more)]
        if self._elsewhere:
            urls = counted(self._elsewhere, "URL is", "URLs are")
            foreign = f"{urls} unusable or not on our hosts: in a report of this size only counted"
            skipped = [*skipped, Skipped("other hosts", foreign)]
        return ParsedReport(
            urls=tuple(self._urls),
            skipped=tuple(skipped),
            correlation_id=correlation_id,
            test=test,
            withdrawals=tuple(self._withdrawals),
            parts_skipped=self._skips,
            elsewhere=self._elsewhere,
        )

    def _respell(self, url: str) -> str:
        if self._options.html_escaped:
            url = unescape_html(url)
        if self._options.defanged:
            url = refang(url)
        return unwrap_link(url) if self._options.unwrap_links else url

    def _keep_ours(self) -> None:
        """Drop the URLs that are not ours. This is done once; after it each URL is checked as it comes."""
        if self._scoped:
            return
        self._scoped = True
        ours = [entry for entry in self._urls if self._is_ours(entry)]
        self._elsewhere += len(self._urls) - len(ours)
        self._urls = ours

    def _is_ours(self, entry: ReportedUrl) -> bool:
        return self._options.is_ours is None or self._options.is_ours(entry.url)


def superseded(parts: Iterable[tuple[str, str]]) -> set[int]:
    """Return the indexes of the parts that have a later version under the same id.

    Each part is its id and a version that can be sorted. Of two equal versions the later part counts. A part without an
    id always counts.
    """
    latest: dict[str, tuple[str, int]] = {}
    older: set[int] = set()
    for index, (part_id, version) in enumerate(parts):
        if not part_id:
            continue
        standing = latest.get(part_id)
        if standing is not None and standing[0] > version:
            older.add(index)
            continue
        if standing is not None:
            older.add(standing[1])
        latest[part_id] = (version, index)
    return older
