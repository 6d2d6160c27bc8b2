"""The only place that wires: settings, AWS, vendors and the pipeline. Made once a process, at the first event."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aws_lambda_powertools import Logger

from chalicelib import settings as environment
from chalicelib.aws.client import client
from chalicelib.aws.documents import Cached, parameter, secret
from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import Source
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.model import VendorAccount
from chalicelib.domain.policy.rules import Policy
from chalicelib.observe import Observer
from chalicelib.pipeline.run import NEVER, Run
from chalicelib.ports import BanVendor, Download, Emit, ExportVendor, Objects, Post, Probe, ReportQueue, Rows, Wake
from chalicelib.web import Operator, parse_operators

if TYPE_CHECKING:
    from chalicelib.pipeline.intake.messages import Fetch


def _huawei(account: VendorAccount) -> BanVendor:
    from chalicelib.vendors.huawei.client import connect

    return connect(account, clock=now)


def _alibaba(account: VendorAccount) -> ExportVendor:
    from chalicelib.vendors.alibaba.client import connect

    return connect(account, clock=now)


VENDORS: dict[str, Callable[[VendorAccount], BanVendor]] = {"huawei": _huawei}
"""Vendors where URLs can be banned, by the name that an account's configuration uses."""

EXPORT_VENDORS: dict[str, Callable[[VendorAccount], ExportVendor]] = {"alibaba": _alibaba}
"""Vendors that tell which URLs they blocked by themselves."""

EXPORT_BYTES = 1024**3
"""Bytes of an export's file at the most: it and what is made of it fit the disk and the time of archive_exports."""


def now() -> datetime:
    """The time, aware."""
    return datetime.now(tz=UTC)


@cache
def services() -> Services:
    """Make the services of this process."""
    # A batch makes some ten thousands of objects and hardly a cycle: looking for them took some 7 % of its CPU.
    gc.set_threshold(50_000)
    return Services()


class Services:
    """What the functions in ``app.py`` call. Everything is made when it is first needed."""

    def __init__(self) -> None:
        self.settings = environment.read()
        self.logger = Logger(service="edgeban")
        self.emit: Emit = Observer(self.logger, stage=self.settings.stage)
        self.request_id = "-"
        self._vendors: dict[str, tuple[VendorAccount, BanVendor]] = {}

    def begin(self, context: Any) -> None:
        """Note the invocation that begins, for logs and answers."""
        self.request_id = str(getattr(context, "aws_request_id", "-"))
        self.logger.append_keys(
            request_id=self.request_id, function=str(getattr(context, "function_name", "-")).rpartition("/")[2]
        )

    def run(self, context: Any = None, margin: timedelta = timedelta(0)) -> Run:
        """Return what one run of a function works with.

        ``context`` is the invocation's. The run's deadline lies ``margin`` before the end of the function's time; a
        request, which brings no context, has no deadline. The queue of wake-ups and the policy are opened when they
        are first used: a function that needs neither has the right to neither.
        """
        deadline = NEVER
        if context is not None:
            deadline = now() + timedelta(milliseconds=context.get_remaining_time_in_millis()) - margin

        def wake(account: str, *, now: datetime) -> None:
            self.wake(account, now=now)

        return Run(
            rows=self.rows, emit=self.emit, wake=wake, clock=now, read_policy=lambda: self.policy, deadline=deadline
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
    def wake(self) -> Wake:
        """What wakes submitters."""
        from chalicelib.aws.sqs import SubmitQueue

        return SubmitQueue(client("sqs"), self.settings.need("submit_queue_url"))

    @cached_property
    def objects(self) -> Objects:
        """The archive bucket."""
        from chalicelib.aws.s3 import Bucket

        return Bucket(client("s3"), self.settings.need("bucket"))

    @cached_property
    def post(self) -> Post:
        """What tells sources the outcomes of their reports."""
        from chalicelib.outbound.callback import CallbackPost

        return CallbackPost()

    @cached_property
    def probe(self) -> Probe:
        """What asks the edge for a URL."""
        from chalicelib.outbound.edge import EdgeProbe

        return EdgeProbe()

    def intake_bodies(self) -> Fetch | None:
        """What reads the objects that one batch of messages names; ``None`` on a function without an intake bucket."""
        if not self.settings.intake_bucket:
            return None
        from chalicelib.aws.s3 import IntakeBodies

        return IntakeBodies(client("s3"), self.settings.intake_bucket)

    @property
    def sources(self) -> dict[str, Source]:
        """The sources, at most half a minute old."""
        return self._sources.get()

    @property
    def operators(self) -> dict[str, Operator]:
        """The operators by the hash of their tokens, at most half a minute old."""
        return self._operators.get()

    @property
    def policy(self) -> Policy:
        """The policy, at most half a minute old."""
        return self._policy.get()

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
            return self._read_policy(parameter(client("ssm"), name))

        return Cached(read, on_error=lambda error: self._refused("policy", error))

    def _read_policy(self, text: str) -> tuple[str, Callable[[], Policy]]:
        """Read the policy, which may stand in an object of the archive bucket: a parameter holds 8 KB at the most.

        The object is read each time, since it may be written over while the parameter stays the same.
        """
        document = read_json(text, "policy")
        if isinstance(document, Mapping) and isinstance(document.get("object"), str):
            body = self.objects.get(document["object"])
            if body is None:
                raise ConfigurationError(f"the policy points to the object {document['object']!r}, which is not there")
            text = body.decode()
        return text, lambda: parse_policy(read_json(text, "policy"))

    def _secret(self, setting: str, parse: Callable[[object], Any]) -> Cached[Any]:
        name = self.settings.need(setting)

        def read() -> tuple[str, Callable[[], Any]]:
            text = secret(client("secretsmanager"), name)
            return text, lambda: parse(read_json(text, setting))

        return Cached(read, on_error=lambda error: self._refused(setting, error))

    def _refused(self, what: str, error: Exception) -> None:
        problem = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        self.emit("configuration_refused", kind=what, problem=problem[:300])

    def vendor(self, account: str) -> BanVendor:
        """The client of a vendor account; made anew when its configuration changes."""
        known = self._accounts.get()
        if account not in known:
            raise ConfigurationError(f"the vendors secret has no account {account!r}, which the policy names")
        if known[account].vendor not in VENDORS:
            raise ConfigurationError(f"account {account!r}, which the policy names, is at a vendor that bans nothing")
        made = self._vendors.get(account)
        if made is None or made[0] != known[account]:
            made = self._vendors[account] = (known[account], VENDORS[known[account].vendor](known[account]))
        return made[1]

    @property
    def accounts(self) -> dict[str, VendorAccount]:
        """The vendor accounts by name, at most half a minute old."""
        return self._accounts.get()

    def export_vendor(self, account: VendorAccount) -> tuple[ExportVendor, Download]:
        """The client of an account with exports, and what fetches its files."""
        from chalicelib.outbound.download import DownloadPolicy, ExportDownload

        hosts = tuple(account.credentials.get("download_hosts", "").split()) or DownloadPolicy().hosts
        place = urlsplit(account.endpoint)
        local = self.settings.stage == "local" and place.hostname in {"127.0.0.1", "localhost"}  # a simulator's
        policy = DownloadPolicy(hosts, loopback=(place.netloc,) if local else (), max_bytes=EXPORT_BYTES)
        return EXPORT_VENDORS[account.vendor](account), ExportDownload(policy)


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
        if each.get("vendor") not in {*VENDORS, *EXPORT_VENDORS}:
            raise ConfigurationError(f"vendors.{name}.vendor must be one of {', '.join({**VENDORS, **EXPORT_VENDORS})}")
        if not each.get("endpoint"):
            raise ConfigurationError(f"vendors.{name}.endpoint is missing: name the base URL of the vendor's API")
        rest = {key: value for key, value in each.items() if key not in {"vendor", "endpoint"}}
        if each["vendor"] in EXPORT_VENDORS:
            _check_export_account(name, rest)
        accounts[name] = VendorAccount(name, each["vendor"], each["endpoint"], rest)
    return accounts


def _check_export_account(name: str, fields: Mapping[str, str]) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ConfigurationError(f"vendors.{name}: the name is part of file names, so write letters, digits, - and _")
    if fields.get("report_to_queue", "no") not in {"yes", "no"}:
        raise ConfigurationError(f"vendors.{name}.report_to_queue must be yes or no")
