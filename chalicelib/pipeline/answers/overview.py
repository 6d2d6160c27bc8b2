"""What happens now, on one page: accounts, waiting URLs, holds, caps, exports, and the last hour. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from chalicelib.domain.export_calendar import LATE
from chalicelib.domain.model import Action, ChunkState, TaskState
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.series import quantile
from chalicelib.ledger import ban_counts, control, export_days, journal, remaining, tasks
from chalicelib.ledger.control import AccountState, Control
from chalicelib.ledger.export_days import DayState
from chalicelib.ledger.row import stamp
from chalicelib.pipeline.run import Run

HOUR: Final = timedelta(hours=1)
PAGE: Final = 500
EXPORTS: Final = 31
"""Days of an export that are looked at."""


def accounts(run: Run, bans: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """Return what is true of each account. ``bans`` are those in force by account; ``None``: that is not known."""
    policy, now = run.policy, run.clock()
    controls = control.read(run.rows, [control.EVERYWHERE, *policy.accounts])
    usages = ban_counts.read(run.rows, policy.accounts, now=now)
    return [
        {
            **_account(run, policy, (controls[name], controls[control.EVERYWHERE]), usages[name]),
            "bans_in_force": None if bans is None else bans.get(name, 0),
        }
        for name in policy.accounts
    ]


def _account(run: Run, policy: Policy, switches: tuple[Control, Control], usage: Usage) -> dict[str, Any]:
    now, own = run.clock(), switches[0]
    work = remaining.of_account(run.rows, own.account)
    waiting = [each for each in work if each.state is ChunkState.WAITING]
    held = [each for each in work if each.state is ChunkState.HELD and not each.approving]
    overdue_age = policy.approvals.alarm_after
    return {
        "account": own.account,
        **state(own, switches[1], now),
        "waiting": {"urls": sum(map(_urls, waiting)), "oldest_seconds": _oldest(waiting, now)},
        "tasks_under_way": len(tasks.live(run.rows, own.account)),
        "holds": {
            "count": len(held),
            "urls": sum(map(_urls, held)),
            "oldest_seconds": _oldest(held, now),
            "overdue": sum(now - each.received_at > overdue_age for each in held),
        },
        "caps": _caps(policy, usage),
    }


def state(own: Control, everywhere: Control, at: datetime) -> dict[str, Any]:
    """Return what stops submission at an account: its own pause, the pause of all accounts, or the vendor's refusal."""
    pause = own if own.paused else everywhere
    if pause.paused:
        since = pause.paused_at.isoformat() if pause.paused_at else None
        told = {"by": pause.paused_by, "reason": pause.reason, "since": since, "until": None}
        return {"state": AccountState.PAUSED.value, **told}
    for block in (own.block, *(own.blocks.get(subject) for subject in ("ban", "unban", "exports"))):
        if block is not None and block.until > at:
            told = {"by": None, "reason": block.reason, "since": None, "until": block.until.isoformat()}
            return {"state": AccountState.BLOCKED.value, **told}
    return {"state": AccountState.RUNNING.value, "by": None, "reason": None, "since": None, "until": None}


def _urls(work: Work) -> int:
    return work.count - work.next - sum(position >= work.next for position in work.excluded)


def _oldest(work: Iterable[Work], now: datetime) -> int | None:
    oldest = min((each.received_at for each in work), default=None)
    return round((now - oldest).total_seconds()) if oldest else None


def _caps(policy: Policy, usage: Usage) -> list[dict[str, Any]]:
    """Return how far each cap of this hour is used; for sources and hosts, by the one that has used the most."""
    used = {
        "per_source_per_hour": max(usage.sources.values(), default=0),
        "per_host_per_hour": max(usage.hosts.values(), default=0),
        "per_account_per_hour": usage.total,
    }
    limits: dict[str, int] = {name: getattr(policy.caps, name) for name in used}
    return [{"cap": name, "used": count, "limit": limits[name]} for name, count in used.items() if limits[name]]


def exports(run: Run) -> dict[str, int]:
    """Count the days of exports that are not archived yet, those of them that are late, and those that failed."""
    now, counts = run.clock(), Counter[str]()
    for account, calendar in export_days.accounts(run.rows).items():
        for day in export_days.read(run.rows, account, limit=EXPORTS, newest_first=True):
            is_open = day.state not in export_days.ENDS
            counts["open"] += is_open
            counts["late"] += is_open and not day.confirms and now - calendar.end_of(day.day) > LATE
            counts["failed"] += day.state is DayState.FAILED
    return {name: counts[name] for name in ("open", "late", "failed")}


def last_hour(run: Run) -> dict[str, Any]:
    """Count what the journal tells of the last hour: URLs reported and banned, and the seconds from report to ban."""
    now = run.clock()
    place, counts, seconds = stamp(now - HOUR), Counter[str](), Counter[int]()
    while not run.time_is_up and (events := journal.following(run.rows, place, until=now, limit=PAGE)):
        place = events[-1].place
        for event in events:
            fields = event.fields
            if event.kind == "taken":
                counts.update(totals(fields.get("sources")))
            elif event.kind == "task" and fields.get("state") == TaskState.SUCCEEDED:
                urls = fields.get("urls")
                is_ban = fields.get("action") == Action.BAN
                counts["banned" if is_ban else "unbanned"] += urls if isinstance(urls, int) else 0
                taken = fields.get("seconds")
                if is_ban and isinstance(taken, int) and isinstance(urls, int):
                    seconds[taken] += urls
    return {
        "reported": counts["reported"],
        "to_ban": counts["ban"],
        "held": counts["hold"],
        "duplicates": counts["duplicate"],
        "banned": counts["banned"],
        "unbanned": counts["unbanned"],
        "p50": quantile(seconds, 0.5),
        "p95": quantile(seconds, 0.95),
    }


def totals(sources: object) -> Counter[str]:
    """Add up what a batch's row says of each source."""
    counts: Counter[str] = Counter()
    for by_verdict in sources.values() if isinstance(sources, dict) else ():
        counts.update({verdict: number for verdict, number in by_verdict.items() if isinstance(number, int)})
    counts["reported"] = sum(counts[verdict] for verdict in ("ban", "hold", "duplicate", "rejected", "suppressed"))
    return counts
