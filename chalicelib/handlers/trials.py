"""Routes for the policy: the document in force, and what this document or a draft would decide."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services
from chalicelib.domain.errors import ConfigurationError, InputError
from chalicelib.handlers.http import only, operator
from chalicelib.web import answer, json_body, texts_field

if TYPE_CHECKING:
    from chalicelib.pipeline.decisions.trial import Tried

TRIED_URLS = 1_000
"""The most URLs that one request tries."""


def read_policy(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/policy``: the document in force, when it took effect, and why a newer version was refused."""
    from chalicelib.ledger import policy_versions
    from chalicelib.pipeline.answers.statement_words import digest

    operator(services, request, "reader")
    only(request)
    text, read_at, refused = services.policy_document()
    since = policy_versions.in_use_since(services.rows, digest(text))
    body: dict[str, Any] = {
        "policy": json.loads(text),
        "changed_at": since.isoformat() if since else None,
        "read_at": _time(read_at),
        "refused": None,
    }
    if refused:
        body["refused"] = {"at": _time(refused[0]), "problem": refused[1]}
    return answer(200, body)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()


def try_policy(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/policy/test``: the verdict for each URL, if a source reported it now."""
    from chalicelib.config.policy import parse
    from chalicelib.config.sources import Source
    from chalicelib.domain.model import ReportedUrl
    from chalicelib.domain.policy.duration import BAN_DAYS
    from chalicelib.pipeline.decisions import trial

    operator(services, request, "reader")
    only(request)
    fields = {"urls": list, "source": str, "category": str, "reporter": str, "ban_duration": int, "policy": dict}
    document = json_body(request, fields)
    urls = texts_field(document, "urls", most=TRIED_URLS)
    if not urls:
        raise InputError(f"urls is missing: name from 1 to {TRIED_URLS:,} URLs")
    days = document.get("ban_duration")
    if days is not None and days not in BAN_DAYS:
        raise InputError(f"ban_duration must be from {BAN_DAYS[0]} to {BAN_DAYS[-1]}")
    try:
        policy = parse(document["policy"]) if "policy" in document else services.policy
    except ConfigurationError as error:
        raise InputError(str(error)) from error
    name = document.get("source", "")
    source = services.sources.get(name, Source(name))
    category, reporter = document.get("category", ""), document.get("reporter", "")
    reported = [ReportedUrl(url, category=category, reporter=reporter, ban_days=days) for url in urls]
    tried = trial.try_policy(services.run(), policy, reported, source)
    counts = Counter(each.verdict.kind.value for each in tried)
    return answer(200, {"verdicts": [_show(each) for each in tried], "counts": dict(sorted(counts.items()))})


def _show(tried: Tried) -> dict[str, Any]:
    return {
        "url": tried.url,
        "canonical": tried.canonical or None,
        "account": tried.account or None,
        "verdict": tried.verdict.kind.value,
        "rule": str(tried.verdict.rule),
        "reason": tried.verdict.reason,
        "until": tried.until.isoformat() if tried.until else None,
        "state_now": tried.state_now.value if tried.state_now else None,
        "protected_by": tried.protected_by or None,
    }
