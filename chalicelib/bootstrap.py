"""The only place that wires settings, AWS, vendors and the pipeline together: once a process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aws_lambda_powertools import Logger

from chalicelib import settings as environment
from chalicelib.aws.client import client
from chalicelib.aws.documents import Cached, emit_unread, parameter, policy_text, secret
from chalicelib.config.fields import load
from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import VendorAccount
from chalicelib.domain.policy.model import Policy
from chalicelib.observe import Observer
from chalicelib.pipeline.run import NEVER, Run
from chalicelib.ports import (
    BanVendor,
    CallBack,
    Download,
    Emit,
    ExportVendor,
    Notify,
    Objects,
    Post,
    Probe,
    ReportQueue,
    Rows,
    Views,
    Wake,
)

if TYPE_CHECKING:
    from chalicelib.aws.sqs import HeldMessage
    from chalicelib.config.operators import Operator
    from chalicelib.config.sources import Source
    from chalicelib.pipeline.answers.ban_index import Reader as BanReader
    from chalicelib.pipeline.intake.envelopes import Fetch
    from chalicelib.vendors.registry import Clients


def now() -> datetime:
    """Return the time, aware."""
    return datetime.now(tz=UTC)


@cache
def services() -> Services:
    """Make the services of this process."""
    # A batch makes tens of thousands of objects and hardly any cycle: to look for cycles took about 7 % of its CPU.
    gc.set_threshold(50_000)
    return Services()


class Services:
    """The collaborators of the functions in ``app.py``. Each is made when it is first needed."""

    def __init__(self) -> None:
        self.settings = environment.read()
        self.logger = Logger(service="edgeban")
        self.emit: Emit = Observer(self.logger, stage=self.settings.stage)
        self.request_id, self.hops = "-", 0  # hops: wake-ups that led to the invocation at work
        self.policy_kept = b""  # the version of the policy that is on record for certain

    def begin(self, context: Any) -> None:
        """Note the invocation that begins: its id stands in every log line and every error."""
        self.request_id, self.hops = str(getattr(context, "aws_request_id", "-")), 0
        function = str(getattr(context, "function_name", "-")).rpartition("/")[2]
        self.logger.append_keys(request_id=self.request_id, function=function)

    def run(self, context: Any = None, margin: timedelta = timedelta(0)) -> Run:
        """Return the ``Run`` of one invocation.

        The run's deadline lies ``margin`` before the end of the function's time. A request, which has no ``context``,
        has no deadline. The queues and the policy are opened when they are first used, since a function that does not
        need one has no right to it.
        """
        deadline = NEVER
        if context is not None:
            deadline = now() + timedelta(milliseconds=context.get_remaining_time_in_millis()) - margin
        return Run(
            rows=self.rows,
            emit=self.emit,
            wake=lambda group, *, mark: self.wake(group, mark=mark),
            clock=now,
            read_policy=lambda: self.policy,
            deadline=deadline,
            open_views=lambda: self.views,
            call_back=lambda source, reports, *, mark: self.call_back(source, reports, mark=mark),
        )

    # --- collaborators ------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> Rows:
        """The ledger's table."""
        from chalicelib.aws.dynamodb import Table

        return Table(client("dynamodb"), self.settings.need("table"))

    @cached_property
    def sqs(self) -> Any:
        """The client of SQS."""
        return client("sqs")

    @cached_property
    def reports_queue(self) -> ReportQueue:
        """The queue of reports."""
        from chalicelib.aws.sqs import Queue

        return Queue(self.sqs, self.settings.need("reports_queue_url"))

    @cached_property
    def wake(self) -> Wake:
        """The queue that wakes submitters."""
        from chalicelib.aws.sqs import WakeQueue

        return WakeQueue(self.sqs, self.settings.need("submit_queue_url"), hops=lambda: self.hops)

    @cached_property
    def call_back(self) -> CallBack:
        """The queue of reports whose sources are to be called back."""
        from chalicelib.aws.sqs import OutcomesQueue

        return OutcomesQueue(self.sqs, self.settings.need("outcomes_queue_url"), emit=self.emit)

    def held_message(self, queue: str, record: Mapping[str, Any]) -> HeldMessage:
        """Return the message that an invocation works on; ``queue`` is the setting that names its queue."""
        from chalicelib.aws.sqs import HeldMessage

        message = HeldMessage(self.sqs, self.settings.need(queue), record, emit=self.emit)
        self.hops = message.hops
        return message

    def deliver_soon(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Have messages of the reports queue delivered again within seconds; those that came back often come later."""
        from chalicelib.aws.sqs import deliver_soon

        if records:
            deliver_soon(self.sqs, self.settings.need("reports_queue_url"), records, emit=self.emit)

    @cached_property
    def objects(self) -> Objects:
        """The archive bucket."""
        from chalicelib.aws.s3 import Bucket

        return Bucket(client("s3"), self.settings.need("bucket"))

    @cached_property
    def views(self) -> Views:
        """The bucket of views."""
        from chalicelib.aws.s3 import ViewBucket

        return ViewBucket(client("s3"), self.settings.need("views_bucket"))

    @cached_property
    def bans(self) -> BanReader:
        """The reader of the index of bans; it keeps what it has read for the next question."""
        from chalicelib.pipeline.answers.ban_index import Reader

        return Reader(self.views)

    @property
    def dead_letters(self) -> dict[str, int]:
        """About how many messages are in each dead-letter queue."""
        from chalicelib.aws.sqs import length

        queues = {"reports": "reports_dead_letters_url", "submit": "submit_dead_letters_url"}
        return {name: length(self.sqs, self.settings.need(setting)) for name, setting in queues.items()}

    @cached_property
    def tell_of_holds(self) -> Notify | None:
        """The topic on which people are told of holds, and of bans that end; ``None`` on a function without one."""
        if not self.settings.holds_topic:
            return None
        from chalicelib.aws.sns import Topic

        return Topic(client("sns"), self.settings.holds_topic)

    @cached_property
    def post(self) -> Post:
        """The sender of callbacks, which report outcomes to sources."""
        from chalicelib.outbound.callback import CallbackPost

        return CallbackPost()

    @cached_property
    def probe(self) -> Probe:
        """The client that asks the edge for a URL."""
        from chalicelib.outbound.edge import EdgeProbe

        return EdgeProbe()

    def intake_bodies(self) -> Fetch | None:
        """Return the reader of the objects that one batch names; ``None`` on a function without an intake bucket."""
        if not self.settings.intake_bucket:
            return None
        from chalicelib.aws.s3 import IntakeBodies

        return IntakeBodies(client("s3"), self.settings.intake_bucket)

    # --- configuration ------------------------------------------------------------------------------------------

    @property
    def sources(self) -> dict[str, Source]:
        """The sources by name, at most half a minute old."""
        return self._sources.get()

    @property
    def operators(self) -> dict[str, Operator]:
        """The operators by the hash of their tokens, at most half a minute old."""
        return self._operators.get()

    @property
    def accounts(self) -> dict[str, VendorAccount]:
        """The vendor accounts by name, at most half a minute old."""
        return self._accounts.get()

    @property
    def policy(self) -> Policy:
        """The policy, at most half a minute old."""
        return self._policy.get()

    def policy_document(self) -> tuple[str, float, tuple[float, str] | None]:
        """Return the text of the policy in force, when it was last read, and when and why a newer one was refused."""
        self._policy.get()
        return self._policy.text, self._policy.read_at, self._policy.refused

    @cached_property
    def _sources(self) -> Cached[dict[str, Source]]:
        from chalicelib.config import sources

        return self._secret("sources", sources.parse)

    @cached_property
    def _operators(self) -> Cached[dict[str, Operator]]:
        from chalicelib.config import operators

        return self._secret("operators", operators.parse)

    @cached_property
    def _accounts(self) -> Cached[dict[str, VendorAccount]]:
        from chalicelib.vendors import registry

        return self._secret("vendors", registry.parse_accounts)

    @cached_property
    def _policy(self) -> Cached[Policy]:
        name = self.settings.need("policy_parameter")

        def read() -> tuple[str, Callable[[], Policy]]:
            text = policy_text(parameter(client("ssm"), name), lambda: self.objects)
            return text, lambda: parse_policy(load("policy", text))

        return Cached(read, on_error=partial(emit_unread, self.emit, "policy"))

    def _secret(self, document: str, parse: Callable[[object], Any]) -> Cached[Any]:
        setting = f"{document}_secret"
        name = self.settings.need(setting)

        def read() -> tuple[str, Callable[[], Any]]:
            text = secret(client("secretsmanager"), name)
            return text, lambda: parse(load(document, text))

        return Cached(read, on_error=partial(emit_unread, self.emit, setting))

    # --- vendors ------------------------------------------------------------------------------------------------

    def vendor(self, account: str) -> BanVendor:
        """Return the client of a vendor account."""
        return self._clients.at(account, self.accounts)

    @cached_property
    def _clients(self) -> Clients:
        from chalicelib.vendors.registry import Clients

        return Clients(now)

    def export_vendor(self, account: VendorAccount) -> tuple[ExportVendor, Download]:
        """Return the client of an account with exports, and the fetcher of its files."""
        from chalicelib.outbound.download import EXPORT_BYTES, DownloadPolicy, ExportDownload
        from chalicelib.vendors import registry

        vendor = registry.connect_exports(account, clock=now)
        hosts = tuple(account.credentials.get("download_hosts", "").split()) or vendor.download_hosts
        endpoint = urlsplit(account.endpoint)
        is_simulator = self.settings.stage == "local" and endpoint.hostname in {"127.0.0.1", "localhost"}
        loopback = (endpoint.netloc,) if is_simulator else ()
        return vendor, ExportDownload(DownloadPolicy(hosts, loopback=loopback, max_bytes=EXPORT_BYTES))


if environment.on_lambda():  # Lambda may start a function ahead of its first event: what it needs is ready then
    for needed in services().settings.services:
        client(needed)
