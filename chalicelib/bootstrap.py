"""The only place that wires: settings, AWS, vendors and the pipeline. Made once a process, at the first event."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Any, TypeVar

from aws_lambda_powertools import Logger
from chalice.app import Request, Response

from chalicelib import settings as environment
from chalicelib.aws.client import client
from chalicelib.aws.documents import Cached, parameter, secret
from chalicelib.domain.errors import ConfigurationError, InputError, NotAllowed, NotFound
from chalicelib.domain.model import VendorAccount
from chalicelib.domain.policy import Policy
from chalicelib.domain.policy import parse as parse_policy
from chalicelib.observe import Observer
from chalicelib.ports import BanVendor, Kick, ReportQueue, Rows
from chalicelib.reports.sources import Source
from chalicelib.reports.sources import parse as parse_sources
from chalicelib.web import Operator, answer, authenticate, parse_operators, query, raw_body, refusal

VERSION = "1.0.0"
SUBMIT_MARGIN = timedelta(seconds=40)
"""What a drain leaves of its function's time: one vendor call's timeout, its record, and room."""

TRACK_MARGIN = timedelta(seconds=20)


def _huawei(account: VendorAccount) -> BanVendor:
    from chalicelib.vendors.huawei import connect

    return connect(account, clock=now)


VENDORS: dict[str, Callable[[VendorAccount], BanVendor]] = {"huawei": _huawei}
"""Vendors where URLs can be banned, by the name that an account's configuration uses."""


def now() -> datetime:
    """The time, aware."""
    return datetime.now(tz=UTC)


@cache
def services() -> Services:
    """Make the services of this process."""
    return Services()


F = TypeVar("F", bound=Callable[..., Response])


def answered(view: F) -> F:
    """Turn our errors into answers, and everything else into a 500 that tells nothing but the request's id."""

    @functools.wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> Response:
        made = services()
        try:
            return view(*args, **kwargs)
        except InputError as error:
            made.tell("request_refused", code=error.code, problem=str(error)[:300])
            return refusal(error, made.request_id)
        except Exception as error:  # the last frontier: whoever asks gets no stack
            made.logger.exception("request_failed")
            problem = "the service is misconfigured" if isinstance(error, ConfigurationError) else "try again"
            message = f"something went wrong on our side: {problem}; quote the request_id to the operators"
            return answer(500, {"error": {"code": "internal", "message": message, "request_id": made.request_id}})

    return wrapped  # type: ignore[return-value]


class Services:
    """What the functions in ``app.py`` call. Everything is made when it is first needed."""

    def __init__(self) -> None:
        self.settings = environment.read()
        self.logger = Logger(service="edgeban")
        self.tell = Observer(self.logger)
        self.request_id = "-"
        self._vendors: dict[str, tuple[VendorAccount, BanVendor]] = {}

    def begin(self, context: Any) -> None:
        """Note the invocation that begins, for logs and answers."""
        self.request_id = str(getattr(context, "aws_request_id", "-"))
        self.logger.append_keys(
            request_id=self.request_id, function=str(getattr(context, "function_name", "-")).rpartition("/")[2]
        )

    # --- collaborators ------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> Rows:
        """The ledger's table."""
        from chalicelib.aws.dynamodb import Table

        return Table(client("dynamodb"), self.settings.need("table"))

    @cached_property
    def reports_queue(self) -> ReportQueue:
        """The queue of reports."""
        from chalicelib.aws.sqs import Queue

        return Queue(client("sqs"), self.settings.need("reports_queue_url"))

    @cached_property
    def kick(self) -> Kick:
        """What wakes submitters."""
        from chalicelib.aws.sqs import SubmitQueue

        return SubmitQueue(client("sqs"), self.settings.need("submit_queue_url"))

    @cached_property
    def _sources(self) -> Cached[dict[str, Source]]:
        return self._secret("sources_secret", parse_sources)

    @cached_property
    def _operators(self) -> Cached[dict[str, Operator]]:
        return self._secret("operators_secret", parse_operators)

    @cached_property
    def _accounts(self) -> Cached[dict[str, VendorAccount]]:
        return self._secret("vendors_secret", parse_accounts)

    @cached_property
    def _policy(self) -> Cached[Policy]:
        name = self.settings.need("policy_parameter")

        def read() -> tuple[str, Callable[[], Policy]]:
            text = parameter(client("ssm"), name)
            return text, lambda: parse_policy(self._policy_document(text))

        return Cached(read, on_error=lambda error: self._refused("policy", error))

    def _policy_document(self, text: str) -> object:
        """Read the policy, which may stand in an object of the archive bucket: a parameter holds 8 KB at the most."""
        document = read_json(text, "policy")
        if isinstance(document, Mapping) and isinstance(document.get("object"), str):
            from chalicelib.aws.s3 import Bucket

            body = Bucket(client("s3"), self.settings.need("bucket")).get(document["object"])
            if body is None:
                raise ConfigurationError(f"the policy points to the object {document['object']!r}, which is not there")
            return read_json(body.decode(), "policy")
        return document

    def _secret(self, setting: str, parse: Callable[[object], Any]) -> Cached[Any]:
        name = self.settings.need(setting)

        def read() -> tuple[str, Callable[[], Any]]:
            text = secret(client("secretsmanager"), name)
            return text, lambda: parse(read_json(text, setting))

        return Cached(read, on_error=lambda error: self._refused(setting, error))

    def _refused(self, what: str, error: Exception) -> None:
        problem = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        self.tell("configuration_refused", kind=what, problem=problem[:300])

    def vendor(self, account: str) -> BanVendor:
        """The client of a vendor account; made anew when its configuration changes."""
        known = self._accounts.get()
        if account not in known:
            raise ConfigurationError(f"the vendors secret has no account {account!r}, which the policy names")
        made = self._vendors.get(account)
        if made is None or made[0] != known[account]:
            made = self._vendors[account] = (known[account], VENDORS[known[account].vendor](known[account]))
        return made[1]

    # --- routes ------------------------------------------------------------------------------------------------------

    def receive_report(self, source: str, request: Request) -> Response:
        """Answer ``POST /v1/reports/{source}``."""
        from chalicelib.pipeline.receive import receive_report

        receipt = receive_report(
            source, headers=request.headers, body=raw_body(request), sources=self._sources.get(),
            policy=self._policy.get(), rows=self.rows, queue=self.reports_queue, tell=self.tell, now=now(),
        )  # fmt: skip
        body: dict[str, Any] = {
            "report_id": receipt.report_id,
            "accepted": receipt.accepted,
            "rejected": [{"url": each.url, "rule": each.rule, "reason": each.reason} for each in receipt.refusals],
        }
        if receipt.skipped:
            body["skipped"] = [{"where": where, "reason": reason} for where, reason in receipt.skipped]
        if receipt.correlation_id:
            body["correlation_id"] = receipt.correlation_id
        return answer(202, body)

    def read_report(self, report_id: str, request: Request) -> Response:
        """Answer ``GET /v1/reports/{report_id}``."""
        from chalicelib.ledger import reports
        from chalicelib.pipeline import status

        self._operator(request, "reader")
        report = reports.read(self.rows, report_id)
        if report is None:
            raise NotFound("there is no report with this report_id, or it is older than the ledger keeps")
        states = status.of_report(report, rows=self.rows, policy=self._policy.get(), now=now())
        body = {
            "report_id": report.id,
            "source": report.source,
            "received_at": report.received_at.isoformat(),
            "complete": status.terminal(states),
            "urls": states,
        }
        if report.correlation_id:
            body["correlation_id"] = report.correlation_id
        return answer(200, body)

    def read_url(self, request: Request) -> Response:
        """Answer ``GET /v1/urls?url=``."""
        from chalicelib.domain.urls import UnusableUrl, canonical_url
        from chalicelib.pipeline import status

        self._operator(request, "reader")
        try:
            url = canonical_url(query(request, "url"))
        except UnusableUrl as error:
            raise InputError(f"url: {error.reason}") from error
        found = status.of_url(url, rows=self.rows, policy=self._policy.get(), now=now())
        if not found:
            raise NotFound("no report of this URL was accepted, or its rows have expired")
        return answer(200, {"url": url, "accounts": [status.whole(each) for each in found]})

    def read_health(self) -> Response:
        """Answer ``GET /v1/health``."""
        self.rows.get([("control", "control")])
        return answer(200, {"status": "ok", "version": VERSION, "stage": self.settings.stage})

    def _operator(self, request: Request, role: str) -> Operator:
        operator = authenticate(request.headers, self._operators.get())
        if not operator.may(role):
            raise NotAllowed(f"the token of {operator.name} has the role {operator.role}; this needs {role}")
        return operator

    # --- functions ----------------------------------------------------------------------------------------------

    def intake_reports(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take a batch of SQS records; answer which are to come again."""
        from chalicelib.pipeline.intake import intake_reports

        outcome = intake_reports(
            event["Records"], sources=self._sources.get(), policy=self._policy.get(), rows=self.rows, kick=self.kick,
            tell=self.tell, now=now(),
        )  # fmt: skip
        return {"batchItemFailures": [{"itemIdentifier": each} for each in outcome.failed]}

    def submit_tasks(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Drain the accounts that the batch of kicks names."""
        from chalicelib.pipeline.submit import submit_tasks

        accounts = dict.fromkeys(json.loads(record["body"])["account"] for record in event["Records"])
        for account in accounts:
            submit_tasks(
                account, vendor=self.vendor(account), rows=self.rows, tell=self.tell, clock=now, sleep=time.sleep,
                deadline=_deadline(context, SUBMIT_MARGIN),
            )  # fmt: skip
        return {"batchItemFailures": []}

    def track_tasks(self, context: Any) -> dict[str, Any]:
        """Follow the tasks of every account."""
        from chalicelib.pipeline.track import track_tasks

        tracked = {
            account: track_tasks(
                account, vendor=self.vendor(account), rows=self.rows, kick=self.kick, tell=self.tell, clock=now,
                sleep=time.sleep, deadline=_deadline(context, TRACK_MARGIN),
            )
            for account in self._policy.get().accounts
        }  # fmt: skip
        return {name: {"open": each.open, "why": each.why} for name, each in tracked.items()}

    def sweep(self) -> dict[str, Any]:
        """Sweep every account."""
        from chalicelib.pipeline.sweep import sweep

        return dict(sweep(self._policy.get().accounts, rows=self.rows, kick=self.kick, tell=self.tell, now=now()))


def read_json(text: str, what: str) -> object:
    """Read a configuration document. Raises ConfigurationError that names it and repeats nothing of it."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{what} is not JSON (line {getattr(error, 'lineno', '?')})") from None


def parse_accounts(document: object) -> dict[str, VendorAccount]:
    """Validate the vendors' document. Raises ConfigurationError that names account and field, never a value."""
    if not isinstance(document, Mapping):
        raise ConfigurationError("vendors: must be a JSON object of account name to vendor, endpoint and credentials")
    accounts: dict[str, VendorAccount] = {}
    for name, each in document.items():
        if not isinstance(each, Mapping) or not all(isinstance(value, str) for value in each.values()):
            raise ConfigurationError(f"vendors.{name} must be an object of strings")
        if each.get("vendor") not in VENDORS:
            raise ConfigurationError(f"vendors.{name}.vendor must be one of {', '.join(VENDORS)}")
        if not each.get("endpoint"):
            raise ConfigurationError(f"vendors.{name}.endpoint is missing: name the base URL of the vendor's API")
        rest = {key: value for key, value in each.items() if key not in {"vendor", "endpoint"}}
        accounts[name] = VendorAccount(name, each["vendor"], each["endpoint"], rest)
    return accounts


def _deadline(context: Any, margin: timedelta) -> datetime:
    """When to stop work, so that the function ends by itself."""
    return now() + timedelta(milliseconds=context.get_remaining_time_in_millis()) - margin
