"""The route that explains the decisions about a URL."""

from __future__ import annotations

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.domain.policy.protection import Protection
from chalicelib.handlers.http import only, operator
from chalicelib.web import answer, query


def read(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/urls?url=``."""
    from chalicelib.domain.errors import UnusableUrl
    from chalicelib.domain.urls import canonical_url, host_of, refang
    from chalicelib.pipeline.answers import as_json, history, url_status

    operator(services, request, "reader")
    only(request, "url")
    asked = query(request, "url")
    if asked.lower().startswith("hxxp"):  # as the console copies it: a question bans nothing
        asked = refang(asked)
    try:
        url = canonical_url(asked)
    except UnusableUrl as error:
        raise InputError(f"url: {error.reason}") from error
    statuses = url_status.of_url(services.run(), url)
    protection = services.policy.protected.find(url, host_of(url), now())
    if not statuses and not protection:
        raise NotFound(f"no report of this URL was accepted, or its rows have expired; {_if_reported(services, url)}")
    accounts = [as_json.url_status(status, history.of_status(services.rows, status)) for status in statuses]
    return answer(
        200, {"url": url, "protected": _show_protection(protection) if protection else None, "accounts": accounts}
    )


def _if_reported(services: Services, url: str) -> str:
    """Say what the policy would decide if a source without rules of its own reported the URL now."""
    from chalicelib.config.sources import Source
    from chalicelib.domain.model import ReportedUrl
    from chalicelib.pipeline.decisions import trial

    tried = trial.try_policy(services.run(), services.policy, [ReportedUrl(url)], Source(""))
    words = [f"{each.verdict.kind.value} ({each.verdict.rule}) {each.verdict.reason}".strip() for each in tried]
    return f"reported now, the verdict would be {' and '.join(dict.fromkeys(words))}"


def _show_protection(protection: Protection) -> dict[str, str | None]:
    expires = protection.expires.isoformat() if protection.expires else None
    return {"entry": protection.entry, "comment": protection.comment, "expires": expires}
