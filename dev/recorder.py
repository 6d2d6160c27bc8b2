"""Stand between the functions of a local AWS and its services, and note what IAM would be asked for each function.

Each function is given an endpoint of its own, so a call is known by the port it comes in at. Requests pass unchanged,
their Host header too, so that their signatures stay good.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import ClientError

from dev.fakes import limits
from dev.policies import Use

STATEMENTS = {
    "INSERT": "PartiQLInsert",
    "UPDATE": "PartiQLUpdate",
    "SELECT": "PartiQLSelect",
}
TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


class UnknownCall(Exception):
    """A call that cannot be translated into IAM's words; the message names it."""


def uses(method: str, target: str, path: str, body: bytes) -> Iterator[Use]:
    """Translate a call into what IAM is asked for. Raises UnknownCall.

    https://docs.aws.amazon.com/service-authorization/latest/reference/ lists the actions. A batch of PartiQL
    statements asks for the action of each, a transaction for those of its items; a batch write for itself alone.
    """
    if not target:
        yield from _sns(body) if method == "POST" and path == "/" else _s3(method, path)
        return
    service, _, operation = target.partition(".")
    asked: dict[str, Any] = json.loads(body or b"{}")
    match service.partition("_")[0], operation:
        case "DynamoDB", "BatchExecuteStatement":
            for statement in asked["Statements"]:
                verb, table = statement["Statement"].split(" ", 1)[0], statement["Statement"].split('"')[1]
                key = statement["Parameters"][_place_of_key(statement["Statement"])]["S"]
                yield Use(f"dynamodb:{STATEMENTS[verb]}", table, key)
        case "DynamoDB", "TransactWriteItems":
            for step in asked["TransactItems"]:
                ((kind, item),) = step.items()
                yield Use(
                    f"dynamodb:{TRANSACTED[kind]}", item["TableName"], (item.get("Item") or item["Key"])["pk"]["S"]
                )
        case "DynamoDB", "BatchGetItem":
            for table, request in asked["RequestItems"].items():
                yield from (Use("dynamodb:BatchGetItem", table, key["pk"]["S"]) for key in request["Keys"])
        case "DynamoDB", "BatchWriteItem":
            for table, requests in asked["RequestItems"].items():
                for request in requests:
                    row = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
                    yield Use("dynamodb:BatchWriteItem", table, row["pk"]["S"])
        case "DynamoDB", "Query":
            yield Use("dynamodb:Query", asked["TableName"], asked["ExpressionAttributeValues"][":pk"]["S"])
        case "DynamoDB", "UpdateItem" | "PutItem" | "DeleteItem" | "GetItem":
            key = (asked.get("Item") or asked["Key"])["pk"]["S"]
            yield Use(f"dynamodb:{operation}", asked["TableName"], key)
        case "AmazonSQS", "SendMessage" | "SendMessageBatch":
            yield Use("sqs:SendMessage", asked["QueueUrl"].rpartition("/")[2])
        case "AmazonSQS", "ChangeMessageVisibilityBatch":
            yield Use("sqs:ChangeMessageVisibility", asked["QueueUrl"].rpartition("/")[2])
        case "AmazonSQS", "ChangeMessageVisibility" | "GetQueueAttributes":
            yield Use(f"sqs:{operation}", asked["QueueUrl"].rpartition("/")[2])
        case "secretsmanager", "GetSecretValue":
            yield Use("secretsmanager:GetSecretValue", asked["SecretId"])
        case "AmazonSSM", "GetParameter":
            yield Use("ssm:GetParameter", asked["Name"])
        case _:
            raise UnknownCall(target)


def _place_of_key(statement: str) -> int:
    """Return the place of the partition key among a statement's parameters."""
    named = "'pk': ?" if statement.startswith("INSERT") else '"pk" = ?'
    return statement.partition(named)[0].count("?")


def _sns(body: bytes) -> Iterator[Use]:
    asked = parse_qs(body.decode())
    if asked.get("Action") != ["Publish"]:
        raise UnknownCall(f"POST / {asked.get('Action')}")
    yield Use("sns:Publish", asked["TopicArn"][0].rpartition(":")[2])


def _s3(method: str, path: str) -> Iterator[Use]:
    parts = urlsplit(path)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    match method:
        case "GET" | "HEAD" if key:
            yield Use("s3:GetObjectVersion" if "versionId" in query else "s3:GetObject", f"{bucket}/{key}")
        case "GET" if "list-type" in query:
            yield Use("s3:ListBucket", bucket)
        case "PUT" if key and not query.keys() - {"x-id"}:
            yield Use("s3:PutObject", f"{bucket}/{key}")
        case _:
            raise UnknownCall(f"{method} {path}")


class Recorder:
    """Records what the functions of the local AWS at ``upstream`` do, as a context manager."""

    def __init__(self, upstream: str) -> None:
        self.uses: dict[str, set[Use]] = {}
        """Name of a function in the template → what it did."""
        self.unknown: list[str] = []
        self.beyond: list[str] = []
        """Requests that AWS would refuse for a limit, even if the local AWS took them."""
        self._upstream = urlsplit(upstream).netloc
        self._servers: list[ThreadingHTTPServer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def amend(self, template: Mapping[str, Any]) -> None:
        """Point every function of a packaged template at an endpoint of its own."""
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = self._listen(name)

    def hold_against_limits(self, function: str, target: str, body: bytes) -> None:
        """Note a request that is beyond a limit of AWS."""
        service, _, operation = target.partition(".")
        if service.startswith(("DynamoDB", "AmazonSQS")):
            try:
                limits.check_call(operation, json.loads(body or b"{}"))
            except ClientError as error:
                self.beyond.append(f"{function}: {error}")

    def _listen(self, function: str) -> str:
        recorder, noted = self, self.uses.setdefault(function, set())

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 300

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    noted.update(uses(self.command, self.headers.get("X-Amz-Target", ""), self.path, body))
                except (UnknownCall, KeyError, ValueError, IndexError) as error:
                    recorder.unknown.append(f"{function}: {type(error).__name__} {error}")
                recorder.hold_against_limits(function, self.headers.get("X-Amz-Target", ""), body)
                upstream = http.client.HTTPConnection(recorder._upstream, timeout=120)
                try:
                    upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        upstream.putheader(name, value)
                    upstream.endheaders(body)
                    answer = upstream.getresponse()
                    content = answer.read()
                finally:
                    upstream.close()
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815, the names of the base class

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002, the name of the base class
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"
