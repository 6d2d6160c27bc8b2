"""What edgeban owes its users, written from docs/policy.md alone: the model knows no chunk, no task and no claim.

It is told what sources and people say, what the vendor refuses and what time passes. For each URL it says whether the
vendor must ban it (``must_be_banned``), and which state and end operators and sources are shown (``shown``, ``told``).
A change needs minutes to reach the vendor. So the model demands nothing of a URL that changed after ``reached_at``, nor
of one whose ban ends within ``late``, the time by which the longest trouble of the vendor may move the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

DAY, MINUTES = timedelta(days=1), timedelta(minutes=15)
AGAINST = frozenset({"refused", "cooling", "left"})
"""States in which a person's decision stands against reports."""
BEFORE, AFTER = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
FOREVER, LONGEST = 100_000 * DAY, 30 * DAY
EARLY = timedelta(hours=2)
MARKED, REFUSAL, COOL_DOWN = 14 * DAY, 30 * DAY, 7 * DAY
TWO_ABOVE, ALONE_A_DAY, LIFTS_AN_HOUR = 2, 4, 2
CATEGORIES = {"": (7 * DAY, 1), "malware": (75 * DAY, 1), "phishing": (FOREVER, 1), "spam": (3 * DAY, 2)}
"""The plan of each category, and the reporters that it wants."""


@dataclass(frozen=True)
class Source:
    """How far a source is trusted."""

    name: str
    review: bool = False
    relay: bool = False
    withdrawals_lift: bool = False
    cap: int = 0
    longest: timedelta = FOREVER
    dry_run: bool = False


@dataclass(frozen=True)
class Report:
    """What one report says of a URL. ``lasts`` is set if it asks for a length, ``said_at`` if it came late."""

    id: str
    source: Source
    category: str = ""
    lasts: timedelta | None = None
    reporter: str = ""
    received_at: datetime = BEFORE
    said_at: datetime | None = None

    @property
    def asks_for(self) -> timedelta:
        """How long the ban shall last."""
        return min(self.lasts or CATEGORIES[self.category][0], self.source.longest)


@dataclass
class Said:
    """The furthest word of a source: until when, for how long, and whether that is banned by itself."""

    first: datetime
    until: datetime
    lasts: timedelta
    bans: bool
    report: str = ""
    said_at: datetime = BEFORE


@dataclass
class Url:
    """What is on record of one URL.

    ``state`` is nothing, held, banned, refused, cooling or rejected (by the vendor). ``granted`` is the end of the
    vendor's own ban. edgeban lifts a ban at its end if that was moved in (``lifted``), or if the vendor had lost
    it (``restored``). ``spoken`` are the sources that had spoken when a person decided. ``marks`` give each source
    the moment up to which its words are taken back, since it withdrew them or was undone. ``reporters`` give each
    counted reporter and source the moment and the report. ``plan`` is the length that the held report asked for.
    ``verdicts`` say by source and report why it changed nothing.
    """

    name: str
    root: bool = False
    state: str = "nothing"
    until: datetime = AFTER
    granted: datetime = AFTER
    lifted: bool = False
    restored: bool = False
    rule: str = ""
    approved: bool = False
    question: bool = False
    plan: timedelta = DAY
    decided_until: datetime | None = None
    words: dict[str, Said] = field(default_factory=dict)
    spoken: set[str] = field(default_factory=set)
    marks: dict[str, datetime] = field(default_factory=dict)
    reporters: dict[tuple[str, str], tuple[datetime, str]] = field(default_factory=dict)
    verdicts: dict[tuple[str, str], str] = field(default_factory=dict)
    changed_at: datetime = BEFORE
    began_at: datetime = BEFORE

    @property
    def end(self) -> datetime:
        """When the ban ends: the vendor bans for whole days, unless edgeban lifts it."""
        lifted = self.lifted or (self.restored and self.until < self.granted)
        return self.until if lifted else max(self.until, self.granted)

    def become(self, state: str, now: datetime) -> None:
        """Change the state."""
        self.state, self.changed_at, self.approved, self.question = state, now, False, False

    def decide(self, state: str, until: datetime, now: datetime) -> None:
        """Let a person's decision against the ban stand; the later end counts."""
        self.spoken |= self.words.keys() | {source for source, at in self.marks.items() if now - at <= MARKED}
        self.words = {source: replace(said, bans=False) for source, said in self.words.items()}
        self.decided_until = max(until, self.decided_until or until)
        self.become(state, now)

    def bind_nobody(self, now: datetime) -> None:
        """Let the sources speak again whom a person undid, since the person has decided otherwise."""
        self.marks = {source: min(at, now) for source, at in self.marks.items()}

    def add(self, source: str, said: Said) -> None:
        """Keep the furthest word of a source. A word that bans by itself is stronger than one that does not."""
        before = self.words.get(source)
        if before is None or said.bans > before.bans or (said.bans == before.bans and said.until >= before.until + DAY):
            self.words[source] = said
            said.first = before.first if before else said.first

    def repeats(self, source: str, until: datetime) -> bool:
        """Whether a source has said as much before, by a word that bans by itself."""
        before = self.words.get(source)
        return before is not None and before.bans and source not in self.marks and until < before.until + DAY

    def count(self, report: Report) -> None:
        """Count who reported. A reporter who is named again within a day is not noted again."""
        who = counted_as(report.source, report.reporter), report.source.name
        said_at = report.said_at or report.received_at
        if who not in self.reporters or said_at >= self.reporters[who][0] + DAY:
            self.reporters[who] = said_at, report.id

    def furthest(self, now: datetime) -> datetime | None:
        """Find the furthest end of the remaining words that ban by themselves."""
        return max((each.until for each in self.words.values() if each.bans and each.until > now), default=None)

    def move_in(self, end: datetime) -> None:
        """Move the end in, to that of the remaining words."""
        if end < self.until:
            self.until, self.lifted = end, True

    def renew(self, now: datetime) -> None:
        """Ask the vendor for the rest of the ban, in whole days."""
        self.granted, self.restored = now + min(math.ceil((self.until - now) / DAY) * DAY, LONGEST), False


class Model:
    """All URLs, and what they share: protection, caps, and what people let through."""

    def __init__(self, urls: list[Url], began: datetime) -> None:
        self.urls = {url.name: url for url in urls}
        self.protected: set[str] = set()
        self.refused_by_vendor: set[str] = set()
        self.dry_run, self.host_cap = False, 0
        self.late, self.reached_at = 2 * MINUTES, began
        self.counts: dict[str, int] = {}
        self.undone: dict[str, datetime] = {}
        self.let_through: list[tuple[str, datetime, int]] = []

    def must_be_banned(self, url: Url, now: datetime) -> bool | None:
        """Whether the vendor must ban a URL; ``None`` while a change may not have reached the vendor."""
        on_its_way = url.changed_at >= self.reached_at or (url.state == "banned" and abs(url.end - now) < self.late)
        return None if on_its_way else url.state == "banned"

    def pass_time(self, now: datetime) -> None:
        """End bans, rejections and decisions whose time has come."""
        for url in self.urls.values():
            if (url.state == "banned" and url.end <= now) or (url.state == "rejected" and url.until <= now):
                url.become("nothing", url.end + self.late)
            if url.decided_until and url.decided_until <= now:
                url.decided_until = None
                if url.state in AGAINST:
                    url.become("nothing", now)

    def renew(self, url: Url, now: datetime, early: timedelta = timedelta()) -> None:
        """Renew a ban that is planned to outlast the vendor's, a day before the vendor's ends."""
        if url.state == "banned" and url.granted - DAY - early <= now and url.until > url.granted:
            if url.name in self.protected | self.refused_by_vendor:
                url.until = url.granted
            else:
                url.renew(now)

    def restore(self, name: str, now: datetime) -> None:
        """Ban again a URL that the vendor lost, unless it may no longer be banned."""
        url = self.urls[name]
        if url.name in self.protected | self.refused_by_vendor:
            url.become("nothing" if url.name in self.protected else "rejected", now)
        else:
            url.renew(now)
            url.restored = True

    # --- what sources say --------------------------------------------------------------------------------------------

    def report(self, name: str, report: Report, now: datetime) -> None:
        """Let a source report a URL."""
        url, source = self.urls[name], report.source.name
        own = self._own_verdict(url, report, now)
        why = url.verdicts[source, report.id] = self._why_nothing(url, report, own)
        if why or own == "few":
            return
        url.marks.pop(source, None)  # A source that asks again also restores what it said before its withdrawal.
        said_at = report.said_at or report.received_at
        said = Said(report.received_at, now + report.asks_for, report.asks_for, own == "ban", report.id, said_at)
        if url.state in AGAINST:
            url.add(source, said)
            url.state, url.rule, url.plan = "held", "decided_before", said.lasts
        elif url.state == "banned":
            self._strengthen(url, source, said, now)
        elif url.state == "held":
            end = max(url.words.values(), key=lambda each: (each.bans, each.until)).until
            said.until = said.until if said.until >= end + DAY else min(said.until, end)
            url.add(source, said)
            if own == "ban" and not url.decided_until and not (url.rule == "source_cap" and len(url.words) == 1):
                self._ban(url, now, url.furthest(now) or said.until, counted=source)
        else:
            url.words, url.spoken = {source: said}, set()
            if own == "ban":
                self._ban(url, now, said.until, counted=source)
            else:
                url.become("held", now)
                url.rule, url.plan = own, said.lasts

    def _own_verdict(self, url: Url, report: Report, now: datetime) -> str:
        """Decide about a report as if the URL were new, and note its reporter."""
        source, needed, dry_run = report.source, CATEGORIES[report.category][1], self.dry_run or report.source.dry_run
        open_to_reporters = not (url.name in self.protected or dry_run or url.state in AGAINST)
        repeated = url.state in {"banned", "held"} and url.repeats(source.name, now + report.asks_for)
        said_at = report.said_at or report.received_at
        undone = said_at <= self.undone.get(source.name, BEFORE)
        if open_to_reporters and needed > 1 and not (repeated or undone or taken_back(url, report)):
            url.count(report)
        verdicts = {
            "protected": url.name in self.protected,
            "dry_run": dry_run,
            "few": needed > max(1, len({who for who, _ in url.reporters}) if open_to_reporters else 1),
            "review": source.review,
            "bare_host": url.root,
            "source_cap": 0 < source.cap <= self.counts.get(f"bans {source.name} {now:%d %H}", 0),
            "host_cap": 0 < self.host_cap <= self.counts.get(f"bans {host_of(url)} {now:%d %H}", 0),
        }
        return next((verdict for verdict, applies in verdicts.items() if applies), "ban")

    @staticmethod
    def _why_nothing(url: Url, report: Report, own: str) -> str:
        """Say why a report changes nothing; empty if the URL's record answers its source."""
        source, decided = report.source.name, url.state in AGAINST
        reasons = {
            "protected": own == "protected",
            "dry_run": own == "dry_run",
            url.state: decided and (own != "ban" or source in url.spoken | url.words.keys()),
            taken_back(url, report): not decided and taken_back(url, report) != "",
            "few": own == "few" and url.state not in {"held", "banned"},
        }
        return next((reason for reason, applies in reasons.items() if applies), "")

    def _ban(self, url: Url, now: datetime, until: datetime, *, exact: bool = False, counted: str = "") -> None:
        if counted:
            self._count(f"bans {counted} {now:%d %H}")
            self._count(f"bans {host_of(url)} {now:%d %H}")
        url.become("rejected" if url.name in self.refused_by_vendor else "banned", now)
        url.until, url.lifted, url.began_at, url.decided_until = until, exact, now, None
        url.renew(now)

    def _count(self, what: str) -> int:
        self.counts[what] = self.counts.get(what, 0) + 1
        return self.counts[what]

    def _strengthen(self, url: Url, source: str, said: Said, now: datetime) -> None:
        """Add a word to those of a banned URL. An end moves out only by a day or more."""
        if source in url.words and said.until < url.words[source].until + DAY:
            return
        end = url.until if url.until > now else url.end
        if said.until < end + DAY:
            said.until = min(said.until, end)
        url.add(source, said)
        if said.bans and said.until > end:
            self._move_out(url, said.until, now)

    def _move_out(self, url: Url, end: datetime, now: datetime) -> None:
        """Move the end out, and renew at once a ban that would end within a day."""
        soon, url.until = url.until <= now + DAY, end
        if soon:
            self.renew(url, now, EARLY)

    def withdraw(self, name: str, source: Source, reporter: str, now: datetime, said_at: datetime) -> None:
        """Let a source take back its words up to ``said_at``.

        The words of others stand. If there are none, the ban is lifted, or a person is asked.
        """
        url = self.urls[name]
        if url.reporters.get((counted_as(source, reporter), source.name), (AFTER, ""))[0] <= said_at:
            del url.reporters[counted_as(source, reporter), source.name]
        if url.marks.get(source.name, BEFORE) >= said_at:
            return
        if source.name in url.words and url.words[source.name].said_at > said_at:
            return  # The source has spoken again since then.
        url.marks[source.name] = said_at
        url.spoken.add(source.name)
        if url.words.pop(source.name, None) is None:
            return
        asking = [said for said in url.words.values() if said.bans or not url.decided_until]
        if url.state == "held" and not asking:  # An earlier decision of a person stands.
            url.become("left" if url.decided_until else "nothing", now)
        elif url.state == "banned":
            may_lift = source.withdrawals_lift and not (url.words or url.approved)
            if end := url.furthest(now):
                url.move_in(end)
            elif may_lift and self._count(f"lifts {source.name} {now:%d %H}") <= LIFTS_AN_HOUR:
                url.become("nothing", now)
            else:
                url.question = True

    # --- what people decide ------------------------------------------------------------------------------------------

    def needs_two(self, urls: int, person: str, now: datetime) -> bool:
        """Whether a second person must approve so many URLs; count those that one person lets through."""
        of_day = sum(count for who, at, count in self.let_through if who == person and now - at < DAY)
        two = urls > TWO_ABOVE or of_day + urls > ALONE_A_DAY
        self.let_through += [] if two else [(person, now, urls)]
        return two

    def approve(self, name: str, now: datetime) -> None:
        """Approve a hold: its ban begins now."""
        url = self.urls[name]
        if name in self.protected:
            url.become("nothing", now)
        elif url.state == "held":
            furthest = max(url.words.values(), key=lambda said: (said.bans, said.until))
            self._ban(url, now, now + url.plan)
            url.until, url.approved = max(url.until, furthest.until), True

    def refuse(self, name: str, now: datetime) -> None:
        """Refuse a hold."""
        if self.urls[name].state == "held":
            self.urls[name].decide("refused", now + REFUSAL, now)

    def answer(self, name: str, now: datetime, *, lift: bool) -> None:
        """Answer whether to lift a ban that nobody asks for. It stays if somebody has asked for it since."""
        url = self.urls[name]
        if lift and url.question and not url.furthest(now):
            url.decide("cooling", now + COOL_DOWN, now)
        url.question = False

    def ban(self, name: str, person: str, end: datetime, now: datetime, *, exact: bool, alone: bool) -> None:
        """Let a person ban a URL by hand, or set the end of its ban."""
        url, word = self.urls[name], f"operator:{person}"
        if (
            name in self.protected
            or self.dry_run
            or (url.state == "held" and url.rule == "by_hand" and word in url.words)
        ):
            return
        if url.state not in {"held", "banned"}:
            url.words = {}
        url.words[word] = Said(now, end, end - now, bans=alone or url.state == "banned")
        if alone or url.state == "banned":
            url.bind_nobody(now)
        if url.state == "banned":
            url.lifted |= exact or end < url.end
            self._move_out(url, end, now)
        elif alone:
            self._ban(url, now, end, exact=exact)
            url.approved = True
        else:
            url.state, url.rule, url.plan = "held", "by_hand", end - now

    def lift(self, name: str, now: datetime, cool_down: timedelta) -> None:
        """Let a person lift a URL, whatever is on record."""
        self.urls[name].decide("cooling", now + cool_down, now)
        self.urls[name].bind_nobody(now)

    def undo(self, name: str, now: datetime, cool_down: timedelta, taken: Taken) -> None:
        """Let a person undo words. The words of others stand, and only the undone sources are bound."""
        url = self.urls[name]
        if taken.source:
            self.undone[taken.source] = now
        url.reporters = {
            (who, source): (at, report)
            for (who, source), (at, report) in url.reporters.items()
            if source != taken.source and (report != taken.report or not report)
        }
        gone = {source for source, said in url.words.items() if taken.holds(url, source, said)}
        regardless = taken.whoever_said_so and (gone or taken.carried(url))
        nobody_asks = taken.carried(url) and not url.words
        if url.state not in {"banned", "held"} or not (gone or regardless or nobody_asks):
            return
        if regardless:
            url.decide("cooling", now + cool_down, now)
            return
        url.words = {source: said for source, said in url.words.items() if source not in gone}
        if url.state == "banned":
            url.marks |= dict.fromkeys(gone, now + cool_down)
            if end := url.furthest(now):
                url.move_in(end)
        if not url.words or (url.state == "banned" and not url.furthest(now)):
            url.spoken |= gone
            url.become("cooling" if url.decided_until else "nothing", now)  # An earlier decision of a person stands.


@dataclass(frozen=True)
class Taken:
    """What an undoing takes back: all words of a source, the words of a report, or the bans of a task."""

    source: str = ""
    report: str = ""
    task_made_at: datetime = BEFORE
    whoever_said_so: bool = False

    def carried(self, url: Url) -> bool:
        """Whether the task carried the ban that is in force."""
        return url.state == "banned" and url.began_at - MINUTES <= self.task_made_at

    def holds(self, url: Url, source: str, said: Said) -> bool:
        """Whether a word is taken back."""
        return (
            (self.carried(url) and self.task_made_at >= said.first)
            or source == self.source
            or (bool(self.report) and said.report == self.report)
        )


def host_of(url: Url) -> str:
    """Return the host of a URL."""
    return url.name.split("/")[2]


def counted_as(source: Source, reporter: str) -> str:
    """Return who counts as one reporter: the source, or the reporter that a relay names."""
    return reporter if source.relay else f"source {source.name}"


def taken_back(url: Url, report: Report) -> str:
    """Say why a report's word was taken back before it came: ``undone`` or ``withdrawn``; empty if it was not."""
    up_to = url.marks.get(report.source.name, BEFORE)
    if (report.said_at or report.received_at) > up_to:
        return ""
    return "undone" if up_to > report.received_at else "withdrawn"


def shown(url: Url) -> tuple[str, datetime | None]:
    """Return the state and end that an operator must be shown. If the state is empty, several are right."""
    states = {
        "banned": "banned",
        "held": "held",
        "refused": "rejected",
        "cooling": "unbanned",
        "rejected": "rejected",
        "left": "suppressed",
    }
    end = url.end if url.state == "banned" else url.decided_until
    return states.get(url.state, ""), end if end and end < AFTER and url.state != "held" else None


def told(url: Url, source: Source, report: str) -> tuple[str, datetime | None]:
    """Return the state and end that the source of a report must be told. If the state is empty, several are right.

    A source under review learns whether its URL is banned, and nothing else.
    """
    verdict = url.verdicts[source.name, report]
    waits = verdict == "few" and url.changed_at == BEFORE
    if verdict and (waits or verdict != "few"):
        mark = url.marks[source.name] if verdict == "undone" else BEFORE
        bound_until = max(mark, url.decided_until or BEFORE) if verdict in AGAINST | {"undone"} else BEFORE
        state, end = "suppressed", bound_until if bound_until > BEFORE else None
    else:
        state, end = shown(url)
    if not source.review:
        return state, end
    as_reviewed = {"": "", "banned": "banned", "held": "received"}
    return "received" if waits else as_reviewed.get(state, "not_banned"), None
