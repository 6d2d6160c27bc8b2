"""Clients of ``boto3`` that reach the local AWS and no other."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from chalicelib.aws.client import pass_rows_through

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient


REGION = "us-east-1"


class Clients:
    """One client for each service, made when it is first used."""

    url: str
    region = REGION

    def client_arguments(self) -> dict[str, Any]:
        """Arguments of ``boto3`` clients that reach this AWS and no other."""
        return {
            "endpoint_url": self.url,
            "region_name": REGION,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "config": Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32),
        }

    @functools.cached_property
    def _session(self) -> boto3.Session:
        # A profile or file of the developer's own must not matter here, not even one that does not exist.
        apart: dict[str, Any] = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        session = botocore.session.Session(session_vars=apart)
        pass_rows_through(session)
        return boto3.Session(botocore_session=session)

    @functools.cached_property
    def cloudformation(self) -> CloudFormationClient:
        return self._session.client("cloudformation", **self.client_arguments())

    @functools.cached_property
    def dynamodb(self) -> DynamoDBClient:
        """A client for ``chalicelib.aws.dynamodb``: it passes rows through."""
        return self._session.client("dynamodb", **self.client_arguments())

    @functools.cached_property
    def lambda_(self) -> LambdaClient:
        arguments = self.client_arguments()
        # A function is run once, however long it takes.
        arguments["config"] = Config(read_timeout=300, retries={"total_max_attempts": 1})
        return self._session.client("lambda", **arguments)

    @functools.cached_property
    def cloudwatch_logs(self) -> CloudWatchLogsClient:
        return self._session.client("logs", **self.client_arguments())

    @functools.cached_property
    def s3(self) -> S3Client:
        return self._session.client("s3", **self.client_arguments())

    @functools.cached_property
    def secrets(self) -> SecretsManagerClient:
        return self._session.client("secretsmanager", **self.client_arguments())

    @functools.cached_property
    def sns(self) -> Any:
        return self._session.client("sns", **self.client_arguments())

    @functools.cached_property
    def sqs(self) -> SQSClient:
        return self._session.client("sqs", **self.client_arguments())

    @functools.cached_property
    def ssm(self) -> SSMClient:
        return self._session.client("ssm", **self.client_arguments())
