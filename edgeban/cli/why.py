"""Tell why a URL is banned or is not, as a timeline in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from edgeban.cli import output, times
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import harmless
from edgeban.cli.session import Session, pass_session
from edgeban.client import Client
from edgeban.errors import EdgebanError

NOW = "9999"
"""The time of what is true now. It sorts after every other time."""


@click.command("why", short_help="Tell why a URL is banned, or why it is not.")
@click.argument("url")
@click.option("--exit-status", is_flag=True, help="Exit with 0 if it is banned anywhere, with 9 if not.")
@output.output_options
@pass_session
def why_command(session: Session, url: str, form: output.Form, *, exit_status: bool) -> None:
    """Tell why URL is banned, or why it is not: who reported it, who decided, which task carried it, and when it ends.

    If nobody reported the URL, the command says what the policy would do.
    """
    client = session.client()
    try:
        explained = client.url(url)
    except EdgebanError as error:
        if error.status != 404:
            raise
        _not_on_record(session, form, url, error, client)
        raise Ended(Status.NOT_BANNED if exit_status else Status.NOT_FOUND) from None
    output.document(session, form, explained, _explained(session, explained))
    if exit_status and not any(account["state"] == "banned" for account in explained["accounts"]):
        raise Ended(Status.NOT_BANNED)


def _not_on_record(session: Session, form: output.Form, url: str, error: EdgebanError, client: Client) -> None:
    verdicts = client.test_policy([url])
    answer = {"url": url, "accounts": [], "message": error.message, "policy": verdicts["verdicts"]}
    lines = [f"{harmless(url)}   NOT BANNED: {harmless(error.message.partition(';')[0])}"]
    lines += [f"  if it were reported: {_verdict(verdict)}" for verdict in verdicts["verdicts"]]
    output.document(session, form, answer, lines)


def _verdict(verdict: Mapping[str, Any]) -> str:
    where = f" at {verdict['account']}" if verdict.get("account") else ""
    why = ": ".join(text for text in (verdict.get("rule"), verdict.get("reason")) if text)
    rule = f" ({why})" if why else ""
    return f"{verdict['verdict']}{harmless(where)}{harmless(rule)}"


def _explained(session: Session, explained: Mapping[str, Any]) -> Iterator[str]:
    now, url = session.now(), harmless(explained["url"])
    protected = explained.get("protected")
    if protected:
        yield f"{url}   PROTECTED by {harmless(protected['entry'])}: {harmless(protected['comment'])}"
    for account in explained["accounts"]:
        until = account.get("until")
        what = ", reports of it are suppressed" if account["state"] == "unbanned" else ""
        end = f"{what} until {times.clock(until)} ({times.relative(until, now)})" if until else ""
        yield f"{url}   {output.state(account['state'])} at {harmless(account['account'])}{end}"
        for at, text in sorted(_timeline(account), key=lambda entry: entry[0]):
            yield f"  {'now' if at == NOW else times.clock(at) if at else '':20}  {harmless(text)}"
        if account["state"] == "banned":
            yield f"  undo: edgeban unban '{url}' --reason …"
        if account["state"] == "held":
            yield f"  decide: edgeban holds show {harmless(account['chunk_id'])}"


def _timeline(account: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield times and what happened then. Events without a time come first."""
    for past in account.get("history", []):
        who = past.get("actor") or past.get("reporter") or past.get("source") or "edgeban"
        rule = f" ({past['rule']})" if past.get("rule") else ""
        reason = f": {past['reason']}" if past.get("reason") else ""
        of = f" as {past['category']}" if past.get("category") else ""
        report = f" [report {past['report_id']}]" if past.get("report_id") else ""
        waits = account["state"] == "held" and past.get("chunk_id") == account.get("chunk_id")
        action = "hold" if past.get("approvals") or waits else past["action"]
        what = action if action == "unban" else f"{action}{of}{rule}"
        yield past["at"], f"{who} · {what}{reason}{report}"
        for approval in past.get("approvals", []):
            yield approval["at"], f"{approval['actor']} · {approval['decision']}: {approval['reason']}"
    for task in account.get("tasks", []):
        count = f" with {output.counted(task['urls'] - 1, 'other')}" if task["urls"] > 1 else ""
        yield task["submitted_at"] or task["created_at"], f"{task['action']} sent{count} [task {task['task_id']}]"
        if task.get("finished_at"):
            reason = f": {task['reason']}" if task.get("reason") else ""
            yield task["finished_at"], f"{task['action']} {task['state']}{reason}"
    if not account.get("history"):
        who = account.get("reporter") or account.get("source") or "somebody"
        yield "", f"{who} reported it as {account.get('category') or 'abuse'} [report {account.get('report_id')}]"
    if account.get("reason"):
        yield NOW, account["reason"]
