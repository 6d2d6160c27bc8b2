"""The only reader of the environment."""

from __future__ import annotations

import os
from typing import NamedTuple

from chalicelib.domain.errors import ConfigurationError

SERVICES = {
    "dynamodb": ("table",),
    "ssm": ("policy_parameter",),
    "secretsmanager": ("sources_secret", "operators_secret", "vendors_secret"),
    "sqs": ("reports_queue_url", "submit_queue_url", "outcomes_queue_url"),
}
"""The services of AWS that most events need, and the settings of the functions that call them."""


class Settings(NamedTuple):
    """The settings of one function. A setting that the environment lacks is empty: an error names it when used."""

    stage: str = ""
    table: str = ""
    reports_queue_url: str = ""
    submit_queue_url: str = ""
    outcomes_queue_url: str = ""
    bucket: str = ""
    intake_bucket: str = ""
    views_bucket: str = ""
    reports_dead_letters_url: str = ""
    submit_dead_letters_url: str = ""
    sources_secret: str = ""
    operators_secret: str = ""
    vendors_secret: str = ""
    policy_parameter: str = ""
    holds_topic: str = ""

    @property
    def services(self) -> list[str]:
        """The services of AWS that most events of this function need."""
        return [service for service, names in SERVICES.items() if any(getattr(self, name) for name in names)]

    def need(self, name: str) -> str:
        """Read a setting that must be there. Raises ConfigurationError that names its variable."""
        value: str = getattr(self, name)
        if not value:
            raise ConfigurationError(f"the environment variable EDGEBAN_{name.upper()} is not set on this function")
        return value


def read() -> Settings:
    """Read the environment."""
    return Settings(**{name: os.environ.get(f"EDGEBAN_{name.upper()}", "") for name in Settings._fields})


def on_lambda() -> bool:
    """Whether this process is a function of Lambda."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ
