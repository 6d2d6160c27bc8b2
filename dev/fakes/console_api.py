"""The console with an API behind it that holds made-up answers: ``python -m dev.fakes.console_api`` prints its address.

The browser tests use it for what a real stack shows only by chance: two approvers at once, five CDNs, hostile URLs.
Answers have the shapes of ``chalicelib/openapi.json``; tests/app/test_console.py holds them against it.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from chalice.app import Response

from chalicelib.handlers import console

Json = dict[str, Any]

PREFIX = "/api"
"""The stage's path, as API Gateway has one: the console must not count on the root."""

TOKENS = {
    "token-of-anna": ("anna", "approver"),
    "token-of-ben": ("ben", "approver"),
    "token-of-olga": ("olga", "operator"),
    "token-of-rita": ("rita", "reader"),
}
HOSTILE = "https://m.example.com/<img src=x onerror=alert(1)>\u202egpj.exe?" + "a" * 8000
MALWARE = "https://m.example.com/mal/79.exe"
CDNS = ("huawei-main", "cloudflare-eu", "cloudfront-app", "volcengine-cn", "esa-shop")


def before(**span: float) -> str:
    """Return the moment that was this long ago, as the API writes it."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


class Refused(Exception):
    """The API refuses: status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def hold(name: str, rule: str, source: str, urls: list[str], **more: Any) -> Json:
    """Return a hold as the list has it, with its URLs under ``_urls``."""
    hosts = Counter(urlsplit(url).hostname or "" for url in urls)
    age, also = more.pop("age", 600), more.pop("also", ())
    return {
        "hold_id": name,
        "account": "huawei-main",
        "rule": rule,
        "urls": len(urls),
        "since": before(seconds=age),
        "ban_days": 30,
        "approved_by": None,
        "sources": [{"value": source, "urls": len(urls)}] if source else [],
        "asked_by": [{"value": name, "urls": len(urls)} for name in ((source, *also) if source else ())],
        "asked_by_count": 1 + len(also) if source else 0,
        "asked_of": len(urls),
        "categories": ["malware"],
        "hosts": [{"value": host, "urls": count} for host, count in hosts.most_common(10)],
        "host_count": len(hosts),
        "reporters": ["soc@partner.example"],
        "first": urls[:3],
        "approvals": [],
        "approvals_needed": 1,
        "age_seconds": age,
        "overdue": age > 10_000,
        "_urls": urls,
        **more,
    }


def holds() -> list[Json]:
    """Return the holds of a desk on an ordinary day."""
    files = [f"https://m.example.com/mal/{number}.exe" for number in range(60, 80)]
    forms = [f"https://u{number}.example.net/login/{number % 7}/verify.php" for number in range(120)]
    drift = [f"https://cdn.example.com/a/{number}.apk" for number in range(14)]
    given = {"approvals": [{"by": "anna", "at": before(minutes=4), "reason": "ticket 4711"}], "approved_by": "anna"}
    roots = [hold(f"h-root-{n}", "bare_host", "desk", [f"https://shop{n}.example.com/"], age=10_800) for n in range(9)]
    return [
        *roots,
        hold("h-cap", "source_cap", "new-desk", files, age=360, approvals_needed=2, **given),
        hold("h-review", "review", "public-form", [*forms, HOSTILE], age=2460, approvals_needed=2, also=["isp"]),
        hold("h-drift", "drift", "", drift, age=7200),
    ]


def task(name: str, **more: Any) -> Json:
    """Return a task as the API shows it."""
    return {
        "task_id": name,
        "account": "huawei-main",
        "action": "ban",
        "state": "succeeded",
        "urls": 20,
        "ban_days": 30,
        "vendor_task_id": "9042117",
        "created_at": before(minutes=9),
        "reason": "",
        "submitted_at": before(minutes=9),
        "finished_at": before(minutes=8, seconds=56),
        "withheld": None,
        "parent": None,
        "children": [],
        "verification": None,
        **more,
    }


def ban(number: int, account: str) -> Json:
    """Return a ban in force at one account."""
    return {
        "url": f"https://{'login' if number % 2 else 'files'}{number % 9}.example.com/p/{number}/index.html",
        "account": account,
        "source": ("desk", "new-desk", "public-form")[number % 5 % 3],
        "reporter": "",
        "category": ("phishing", "malware", "spam")[number % 3],
        "rule": "default",
        "report_id": "r-pu6f7ity",
        "chunk_id": f"c{number}",
        "task_id": "20261127T1",
        "banned_at": before(hours=number),
        "until": before(days=number - 70),
        "planned_until": before(days=number - 80),
    }


def bans() -> list[Json]:
    """Return what is in force: most URLs at several CDNs."""
    return [ban(number, account) for number in range(60) for account in CDNS[: 1 + number % 3]]


def explained(url: str) -> Json:
    """Return what is known of the one URL with a long story."""
    at = {
        name: before(minutes=minutes) for name, minutes in {"said": 75, "again": 52, "first": 14, "second": 10}.items()
    }
    approvals = [
        {"actor": "anna", "at": at["first"], "reason": "ticket 4711", "decision": "approve"},
        {"actor": "ben", "at": at["second"], "reason": "sampled three", "decision": "approve"},
    ]
    past = {
        "at": at["said"],
        "action": "ban",
        "rule": "source_cap",
        "actor": None,
        "reason": None,
        "tasks": ["20261127T1"],
        "report_id": "r-pu6f7ity",
        "source": "new-desk",
        "reporter": "soc@partner.example",
        "category": "malware",
        "chunk_id": "h-cap",
        "approvals": approvals,
    }
    accounts = []
    for account in CDNS[:4]:
        waits = account == "volcengine-cn"
        accounts.append(
            {
                "account": account,
                "state": "pending" if waits else "banned",
                "reason": "paused" if waits else "",
                "rule": "source_cap",
                "report_id": "r-pu6f7ity",
                "source": "new-desk",
                "category": "malware",
                "reporter": "soc@partner.example",
                "chunk_id": "h-cap",
                "until": before(days=-90),
                "cool_until": None,
                "tasks": [] if waits else [task("20261127T1", account=account)],
                "history": [past],
            }
        )
    return {"url": url, "protected": None, "accounts": accounts}


def statement(url: str, account: str) -> Json:
    """Return the statement of reasons of a ban, which lacks what the policy does not say of its source."""
    return {
        "puid": "edgeban-0123456789abcdef0123456789abcdef",
        "url": url,
        "account": account,
        "report_id": "r-pu6f7ity",
        "chunk_id": "h-cap",
        "decision": "access_disabled",
        "rule": "source_cap",
        "decided_at": before(minutes=6),
        "applied_at": before(minutes=5),
        "until": before(days=-90),
        "decided_until": before(days=-90),
        "territorial_scope": ["AT", "BE", "DE", "FR"],
        "facts": "On 2026-11-27 the provider received a report that a URL served through its network falls under the "
        "category malware. A person decided to disable access to it.",
        "notified_at": before(minutes=50),
        "notice": None,
        "automated_detection": None,
        "automated_decision": False,
        "category": "malware",
        "ground": "incompatible_content",
        "basis": "Terms of service, section 4.2",
        "explanation": "The file harms the computer of whoever opens it.",
        "dsa_category": "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
        "redress": "Object within six months at https://www.example.com/appeals, or go to court.",
        "words_since": before(minutes=2),
        "missing": ["sources.new-desk.statement"],
    }


def account(name: str, **more: Any) -> Json:
    """Return an account as the overview has it."""
    return {
        "account": name,
        "state": "running",
        "by": None,
        "reason": None,
        "since": None,
        "until": None,
        "waiting": {"urls": 0, "oldest_seconds": None},
        "tasks_under_way": 2,
        "bans_in_force": 240,
        "holds": {"count": 0, "urls": 0, "oldest_seconds": None, "overdue": 0},
        "caps": [{"cap": "per_account_per_hour", "used": 812, "limit": 5000}],
        **more,
    }


def unbans() -> list[Json]:
    """Return the unbans: one under way, one that waits for a second person, and some that are done."""
    done = {"reason": "clean", "failed": 0, "waits": False, "complete": True, "urls": 1}
    url = "url:https://shop.example.com/checkout"
    under_way = {"unban_id": "u-2", "by": "olga", "selection": "host:shop.example.com", "complete": False, "urls": 120}
    waits = {"unban_id": "u-3", "by": "anna", "selection": "source:new-desk", "reason": "the feed was poisoned"}
    flooded = {"unban_id": "u-1", "by": "anna", "selection": "source:public-form", "urls": 388, "failed": 3}
    early = [{"unban_id": f"u-0{n}", "by": "ben", "selection": url, "at": before(days=n)} for n in range(1, 4)]
    return [
        {**done, **under_way, "at": before(minutes=1)},
        {**done, **waits, "at": before(hours=4), "complete": False, "waits": True, "urls": 0},
        {**done, **flooded, "at": before(hours=5)},
        *({**done, **each} for each in early),
    ]


class FakeApi:
    """The answers, and what decisions do to them. ``decided`` lists each decision that was taken."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holds = {each["hold_id"]: each for each in holds()}
        self.unbans = unbans()
        self.decided: list[Json] = []
        self.posts: list[tuple[str, Json]] = []

    def answer(self, method: str, path: str, query: Json, body: Json, name: str) -> Any:
        """Answer one request of ``name``. Raises Refused."""
        first, _, rest = path.partition("/")
        if method == "POST":
            self.posts.append((path, body))
        handler = getattr(self, f"{method.lower()}_{first}", None)
        if handler is None:
            raise Refused(403, "forbidden", "Missing Authentication Token")
        with self.lock:
            return handler(rest, query, body, name)

    def get_health(self, *_: Any) -> Json:
        accounts = [{"account": each["account"], "state": each["state"]} for each in self._accounts()]
        return {"status": "ok", "version": "1.1.0", "stage": "local", "accounts": accounts}

    def _accounts(self) -> list[Json]:
        held = list(self.holds.values())
        oldest = max((each["age_seconds"] for each in held), default=None)
        mine = {"count": len(held), "urls": sum(each["urls"] for each in held), "oldest_seconds": oldest, "overdue": 0}
        paused = {"state": "paused", "by": "ben", "reason": "key rotation", "since": before(hours=2)}
        return [
            account("huawei-main", holds=mine),
            account("cloudflare-eu"),
            account("cloudfront-app", waiting={"urls": 12, "oldest_seconds": 2}),
            account("volcengine-cn", waiting={"urls": 431, "oldest_seconds": 7200}, tasks_under_way=0, **paused),
            account("esa-shop", state="blocked", reason="access refused", until=before(minutes=-20), caps=[]),
        ]

    def get_overview(self, *_: Any) -> Json:
        hour = {
            "held": 82,
            "duplicates": 290,
            "unbanned": 1,
            "reported": 1204,
            "to_ban": 820,
            "banned": 812,
            "p50": 4,
            "p95": 11,
        }
        return {
            "accounts": self._accounts(),
            "bans_in_force": len(bans()),
            "bans_as_of": before(seconds=20),
            "exports": {"open": 1, "late": 0, "failed": 1},
            "unbans_under_way": 1,
            "dead_letters": {"reports": 0, "submit": 0},
            "last_hour": hour,
            "as_of": before(),
        }

    def get_holds(self, rest: str, query: Json, *_: Any) -> Json:
        if rest:
            return self._hold(unquote(rest))
        sources = query.get("source")
        found = [
            each for each in self.holds.values() if not sources or sources == (each["sources"] or [{}])[0].get("value")
        ]
        shown = [{key: value for key, value in each.items() if key[0] != "_"} for each in found]
        groups: dict[tuple[str, str], Json] = {}
        for each in shown:
            source = each["sources"][0]["value"] if each["sources"] else ""
            new = {"rule": each["rule"], "source": source, "holds": 0, "urls": 0, "oldest": each["since"]}
            group = groups.setdefault((each["rule"], source), new)
            group["holds"] += 1
            group["urls"] += each["urls"]
        return {"holds": shown[: int(query.get("limit", 100))], "groups": list(groups.values())}

    def _hold(self, name: str) -> Json:
        if name not in self.holds:
            raise Refused(404, "not_found", "there is no such hold")
        found = self.holds[name]
        source = found["sources"][0]["value"] if found["sources"] else ""
        word = {"source": source, "said_at": found["since"], "until": None, "bans": False}
        said = {"report_id": "r-pu6f7ity", "source": source, "reporter": "", "category": "malware", "note": ""}
        said |= {"words": [word], "reported_at": found["since"]}
        return {
            "hold_id": name,
            "account": found["account"],
            "rule": found["rule"],
            "state": "held",
            "since": found["since"],
            "url_count": found["urls"],
            "urls": [{"url": url, **said} for url in found["_urls"]],
            "approvals_needed": found["approvals_needed"],
            "decisions": [],
        }

    def post_holds(self, rest: str, _: Json, body: Json, name: str) -> Json:
        if rest != "decisions":
            raise Refused(404, "not_found", "there is no such route")
        if TOKENS[f"token-of-{name}"][1] != "approver":
            raise Refused(403, "not_allowed", f"the token of {name} has another role; this needs approver")
        return {"results": [self._decide(each, body["reason"], name) for each in body["decisions"]]}

    def _decide(self, decision: Json, reason: str, name: str) -> Json:
        found = self.holds.get(decision["hold_id"])
        result = {"hold_id": decision["hold_id"], "status": "done", "state": None, "error": None}
        if found is None:
            error = {"code": "conflict", "message": f"the hold is decided already, by {self.decided[-1]['by']}"}
            return {**result, "status": "failed", "error": error}
        self.decided.append({**decision, "reason": reason, "by": name})
        if decision["decision"] == "approve" and len(found["approvals"]) + 1 < found["approvals_needed"]:
            found["approvals"] = [{"by": name, "at": before(), "reason": reason}]
            return {**result, "state": "held"}
        del self.holds[decision["hold_id"]]
        return {**result, "state": "approved" if decision["decision"] == "approve" else "refused"}

    def get_audit(self, _rest: str, query: Json, *_: Any) -> Json:
        if len({"actor", "about", "day"} & query.keys()) > 1:
            raise Refused(400, "bad_request", "name at most one of actor=, about= and day=")
        told = [
            ("ben", "approve", "hold:h-1", "above its cap, second of two", 1, 20),
            ("anna", "approve", "hold:h-1", "ticket 4711", 4, 20),
            ("anna", "unban", "url:https://shop.example.com/checkout", "customer's page, clean", 22, 1),
            ("ben", "pause", "account:volcengine-cn", "key rotation", 120, 1),
            ("anna", "unban", "source:new-desk", "the feed was poisoned", 240, 240),
            ("olga", "unban", "source:public-form", "the form was flooded", 300, 388),
        ]
        decisions = [
            {
                "at": before(minutes=minutes),
                "actor": actor,
                "action": action,
                "about": about,
                "reason": reason,
                "before": "",
                "after": "approved" if action == "approve" else "u-3" if about == "source:new-desk" else "",
                "target_count": count,
            }
            for actor, action, about, reason, minutes, count in told
            if query.get("actor", actor) == actor and query.get("action", action) == action
        ]
        return {"decisions": decisions}

    def get_stats(self, _rest: str, query: Json, *_: Any) -> Json:
        daily = query.get("bucket") == "day"
        series = []
        for step in range(30 if daily else 34):
            at = datetime.now(UTC) - (timedelta(days=step) if daily else timedelta(hours=step))
            for place, source in enumerate(("desk", "new-desk", "public-form")):
                reported = round(
                    700 + 260 * math.sin(step / 3 + place) + 90 * math.sin(step * 1.7) + (900 if step == 6 else 0)
                )
                counts = {"reported": reported, "ban": round(reported * 0.6), "banned": round(reported * 0.6)}
                more = {"duplicate": reported // 5, "hold": reported // (4 if step == 6 else 12), "unbanned": step % 4}
                bucket = at.date().isoformat() if daily else at.replace(minute=0, second=0, microsecond=0).isoformat()
                rest = {"undone": step % 3, "messages": 40, "rejected": 9, "suppressed": 3, "p50": 4, "p95": 11}
                rest |= {"refused_at_once": 2}
                series.append({"bucket": bucket, "value": source, **counts, **more, **rest})
        return {
            "series": series,
            "from": query.get("from", ""),
            "to": query.get("to", ""),
            "complete": True,
            "missing_days": [],
        }

    def get_bans(self, rest: str, query: Json, *_: Any) -> Json:
        fields = ("source", "account", "category", "rule")
        found = [each for each in bans() if all(query.get(name, each[name]) == each[name] for name in fields)]
        found = [each for each in found if query.get("q", "") in each["url"]]
        found = [each for each in found if query.get("host", "").lstrip(".") in each["url"]]
        if rest == "counts":
            counts = Counter(each[query["by"]] for each in found)
            return {
                "counts": [{"value": value, "bans": count} for value, count in counts.most_common()],
                "total": len(found),
                "as_of": before(),
            }
        limit, start = int(query.get("limit", 100)), int(query.get("next_token", 0))
        page = {"bans": found[start : start + limit], "total": len(found), "as_of": before()}
        return page | ({"next_token": str(start + limit)} if len(found) > start + limit else {})

    def post_bans(self, _rest: str, _query: Json, body: Json, _name: str) -> Json:
        first = [{"url": url, "account": "huawei-main", "effect": "is banned"} for url in body["urls"]]
        return {
            "preview": body.get("preview", False),
            "urls": len(body["urls"]),
            "until": before(days=-30),
            "first": first,
            "rejected": [],
            "rejected_urls": 0,
            "holds": [],
            "approvals_needed": 1,
        }

    def get_urls(self, _rest: str, query: Json, *_: Any) -> Json:
        if "never" in query["url"]:
            raise Refused(404, "not_found", "no report of this URL was accepted")
        return explained(query["url"])

    def get_statements(self, _rest: str, query: Json, *_: Any) -> Json:
        return {"statements": [statement(query["url"], account) for account in CDNS[:3]]}

    def _verdicts(self, body: Json) -> list[Json]:
        known = {
            "account": "huawei-main",
            "verdict": "duplicate",
            "rule": "live",
            "reason": "the URL is banned already",
        }
        if "policy" in body:
            known |= {"verdict": "hold", "rule": "review", "reason": "a person decides"}
        more = {"until": None, "state_now": "banned", "protected_by": None}
        return [{"url": url, "canonical": url, **known, **more} for url in body["urls"]]

    def post_policy(self, _rest: str, _query: Json, body: Json, _name: str) -> Json:
        verdicts = self._verdicts(body)
        return {"verdicts": verdicts, "counts": dict(Counter(each["verdict"] for each in verdicts))}

    def get_policy(self, *_: Any) -> Json:
        accounts = {name: {"managed_domains": ["example.com", "*.example.com"]} for name in CDNS}
        document = {"version": 1, "accounts": accounts, "bare_hosts": "hold", "caps": {"per_source_per_hour": 60}}
        return {"policy": document, "changed_at": before(hours=30), "read_at": before(seconds=20), "refused": None}

    def post_unbans(self, rest: str, _query: Json, body: Json, name: str) -> Json:
        if rest:
            unban_id, _, decision = rest.partition("/")
            return self._decide_unban(unquote(unban_id), decision, body["reason"], name)
        urls = body.get("urls") or [each["url"] for each in bans()][:42]
        assert body.get("expect", len(urls)) == len(urls)
        if body.get("preview"):
            first = [{"url": url, "account": "huawei-main"} for url in urls[:100]]
            return {"preview": True, "urls": len(urls), "counted_all": True, "first": first}
        return {"unban_id": "u-1", "complete": True, "urls": len(urls)}

    def _decide_unban(self, unban_id: str, decision: str, reason: str, name: str) -> Json:
        if TOKENS[f"token-of-{name}"][1] == "reader":
            raise Refused(403, "not_allowed", f"the token of {name} has another role; this needs operator")
        found = next((each for each in self.unbans if each["unban_id"] == unban_id and each["waits"]), None)
        if found is None:
            message = "no such unban waits for a second person: it is decided already, or its id is wrong"
            raise Refused(404, "not_found", message)
        if decision == "approve" and found["by"] == name:
            raise Refused(409, "conflict", "you have asked for this unban: it takes another person to approve it")
        self.decided.append({"unban_id": unban_id, "decision": decision, "reason": reason, "by": name})
        urls = 240 if decision == "approve" else 0
        found |= {"waits": False, "complete": True, "urls": urls}
        more = {"approvals_needed": 1} if decision == "approve" else {}
        return {"unban_id": unban_id, "complete": True, "urls": urls, **more}

    def get_unbans(self, _rest: str, query: Json, *_: Any) -> Json:
        limit, start = int(query.get("limit", 100)), int(query.get("next_token", 0))
        page = {"unbans": self.unbans[start : start + limit]}
        return page | ({"next_token": str(start + limit)} if len(self.unbans) > start + limit else {})

    def get_reports(self, rest: str, query: Json, *_: Any) -> Json:
        if rest:
            states = ["banned"] * 6 + ["held"] * 2 + ["rejected"]
            urls = [
                {
                    "url": f"https://m.example.com/mal/{n}.exe",
                    "account": CDNS[n % 2],
                    "state": state,
                    "rule": "default",
                    "reason": "",
                }
                for n, state in enumerate(states)
            ]
            at = {"report_id": unquote(rest), "source": "new-desk", "received_at": before(minutes=75), "accepted": 9}
            return {**at, "urls": urls, "complete": True, "counts": dict(Counter(states)), "correlation_id": "case-17"}
        source = query.get("of", "desk")
        ids = ["r-pu6f7ity", "r-k2h6q8aa", "r-zz81mmq4"]
        found = [
            {"report_id": each, "source": source, "received_at": before(minutes=9 * n), "accepted": 40 * n + 1}
            for n, each in enumerate(ids)
        ]
        return {"reports": found}

    def get_tasks(self, rest: str, query: Json, *_: Any) -> Json:
        if rest:
            return task(
                unquote(rest),
                urls=3,
                urls_carried=[MALWARE, *bans()[0]["url"].split(), HOSTILE],
                children=["20261127T2"],
            )
        ended = (
            task("20261127T150001.000001Z-9a"),
            task("20261127T150003.000001Z-1c", state="failed", reason="the vendor refused the content"),
        )
        live = [
            task(f"20261127T15010{n}.000001Z-{n}f", state="processing", finished_at=None, account=CDNS[n])
            for n in range(3)
        ]
        return {"tasks": list(ended) if query.get("day") else live}

    def get_sources(self, *_: Any) -> Json:
        sources = []
        for place, (name, trust) in enumerate(
            {"desk": "default", "new-desk": "capped", "public-form": "review"}.items()
        ):
            reported = (1204, 388, 60)[place]
            today = {
                "messages": reported // 9,
                "reported": reported,
                "ban": reported * 2 // 3,
                "duplicate": reported // 5,
            }
            sources.append(
                {
                    "name": name,
                    "auth": "standard-webhooks",
                    "format": "native",
                    "category": None,
                    "trust": trust,
                    "dry_run": False,
                    "max_per_hour": 60 if trust == "capped" else None,
                    "reports_per_minute": 600,
                    "callback_host": "desk.example.org",
                    "hosts": ["*.example.com"] if name == "new-desk" else None,
                    "cap": {"used": 41, "limit": 60 if trust == "capped" else 2000},
                    "last_report_at": before(minutes=3 + place),
                    "today": {**today, "hold": reported // 12, "rejected": 9, "suppressed": 3},
                    "refused_today": {"reports": place, "by_code": {"unreadable_report": place}, "urls": 4 * place},
                    "last_30_days": {"banned": 20 * reported, "undone": place, "undone_share": place / 20 / reported},
                }
            )
        return {"sources": sources}

    def get_callbacks(self, *_: Any) -> Json:
        sent = [("r-pu6f7ity", "delivered", 1), ("r-k2h6q8aa", "waiting", 3), ("r-zz81mmq4", "failed", 9)]
        return {
            "callbacks": [
                {
                    "report_id": report,
                    "received_at": before(minutes=9 * tries),
                    "state": state,
                    "attempts": tries,
                    "last_status": None if state == "waiting" else 204,
                    "next_at": before(minutes=-5) if state == "waiting" else None,
                    "finished_at": None if state == "waiting" else before(minutes=4),
                }
                for report, state, tries in sent
            ]
        }

    def post_callbacks(self, rest: str, *_: Any) -> Json:
        return {"report_id": rest.split("/", maxsplit=1)[0], "source": "desk"}

    def get_exports(self, *_: Any) -> Json:
        days = []
        for step in range(1, 32):
            state = {1: "polling", 9: "failed"}.get(step, "archived")
            more = (
                {"rows": 1800 + 37 * step % 400, "rejected": 0, "manifest": f"illegal-urls/dt={step}/manifest.json"}
                if state == "archived"
                else {}
            )
            reason = {"reason": "the vendor's file broke off: 3 tries"} if state == "failed" else {}
            days.append(
                {
                    "day": before(days=step)[:10],
                    "state": state,
                    "attempt": 3 if state == "failed" else 1,
                    **more,
                    **reason,
                }
            )
        return {"account": "esa-shop", "days": days}

    def post_exports(self, *_: Any) -> Json:
        return {"account": "esa-shop", "days": []}

    def post_pause(self, _rest: str, _query: Json, body: Json, name: str) -> Json:
        return {"account": body.get("account", "*"), "paused": True, "by": name, "reason": body["reason"]}


def served(path: str, headers: Any) -> Response | None:
    """Return the console's own answer to a path, as app.py routes it; ``None`` for every other path."""
    match path.strip("/").split("/"):
        case ["console"]:
            return console.enter()
        case ["console", "index.html"]:
            return console.page(SimpleNamespace(headers={key.lower(): value for key, value in headers.items()}))  # type: ignore[arg-type]
        case ["console", version, name]:
            return console.file(version, name)
    return None


class Handler(BaseHTTPRequestHandler):
    """HTTP around one FakeApi. ``DELETE /api/state`` begins anew; ``GET /api/state`` shows what was decided."""

    protocol_version = "HTTP/1.1"
    api = FakeApi()

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        type(self).api = FakeApi()
        self._send(200, "{}", {"Content-Type": "application/json"})

    def _serve(self, method: str) -> None:
        split = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        path = split.path.removeprefix(PREFIX)
        if path == "/state":
            state = {"decided": self.api.decided, "posts": self.api.posts}
            return self._send(200, json.dumps(state), {"Content-Type": "application/json"})
        if (page := served(path, self.headers)) is not None:
            return self._send(page.status_code, page.body, page.headers)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        status, answer = self._asked(method, path.removeprefix("/v1/"), query, body)
        if status == 200 and self.headers.get("Accept") == "text/csv":
            rows = next(iter(answer.values()))
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
            return self._send(200, "\n".join(lines) + "\n", {"Content-Type": "text/csv"})
        return self._send(status, json.dumps(answer), {"Content-Type": "application/json"})

    def _asked(self, method: str, path: str, query: Json, body: Json) -> tuple[int, Json]:
        known = TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        error = {"code": "not_authenticated", "message": "nobody has this token", "request_id": "test"}
        if known is None:
            return 401, {"error": error}
        if path == "me":
            return 200, {"name": known[0], "role": known[1], "stage": "local", "version": "1.1.0"}
        try:
            return 200, self.api.answer(method, path, query, body, known[0])
        except Refused as refused:
            return refused.status, {"error": {**error, "code": refused.code, "message": str(refused)}}

    def _send(self, status: int, body: str, headers: Any) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 304:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Write no line a request."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}{PREFIX}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
