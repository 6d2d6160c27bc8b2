"""What a stage costs a month while nobody reports anything, counted from its template and its functions' idle runs.

docs/cost.md shows the table. A test holds it to ``MOST`` dollars: an alarm, a metric or a schedule that is added later
is counted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.cost import PRICES

Resources = Mapping[str, Mapping[str, Any]]
"""The resources of a template that SAM has transformed, by their logical ids."""

MOST = 10.0
"""Dollars a month."""

HOURS = 730
SECONDS = HOURS * 3600
ALARM, DASHBOARD, KEY, SECRET = 0.10, 3.00, 1.00, 0.40
METRIC_HOUR = 0.30 / HOURS
"""A metric is paid for in each hour in which it has a value."""

SECRET_READ, KEY_READ, LOG_GB = 0.05 / 10_000, 0.03 / 10_000, 0.50
POLLERS, POLL_SECONDS = 5, 20
"""Lambda keeps five long polls of 20 s open at an empty queue. We assume as many for a FIFO queue."""

IDLE_SECONDS = 0.2
"""Assumed duration of a run that finds nothing to do: the longest one, the start of its process included."""

LINE_BYTES, LINES = 350, 5
"""Bytes of a log line, and lines of a run: three of Lambda's, two of ours."""

RATES = {"rate(1 minute)": 60, "rate(5 minutes)": 300, "rate(1 hour)": 3600, "rate(1 day)": 86_400}


def schedules(resources: Resources) -> dict[str, int]:
    """Return the runs a month of each scheduled function, by its logical id."""
    runs = {}
    for resource in resources.values():
        if resource["Type"] == "AWS::Events::Rule":
            (target,) = resource["Properties"]["Targets"]
            runs[target["Arn"]["Fn::GetAtt"][0]] = SECONDS // RATES[resource["Properties"]["ScheduleExpression"]]
    return runs


def idle(
    resources: Resources, metrics: Iterable[tuple[str, int]], reads: Mapping[str, float], secrets: int
) -> dict[str, float]:
    """Return the dollars of each thing that is paid for.

    ``metrics`` are the series that idle runs write, each with the runs a month of its function; ``reads`` are the read
    units of one idle run by function; ``secrets`` counts the documents in Secrets Manager.
    """

    def count(kind: str) -> int:
        return sum(resource["Type"] == kind for resource in resources.values())

    runs = schedules(resources)
    functions = {name: it["Properties"] for name, it in resources.items() if it["Type"] == "AWS::Lambda::Function"}
    queues = [it["Properties"] for it in resources.values() if it["Type"] == "AWS::Lambda::EventSourceMapping"]
    fifo = sum("ReportsQueue" not in str(each["EventSourceArn"]) for each in queues)
    polls = POLLERS * SECONDS / POLL_SECONDS
    return {
        "alarms": count("AWS::CloudWatch::Alarm") * ALARM,
        "dashboard": count("AWS::CloudWatch::Dashboard") * DASHBOARD,
        "metrics": sum(min(HOURS, each) for _, each in metrics) * METRIC_HOUR,
        "the alarms' key": count("AWS::KMS::Key") * KEY,
        "secrets": secrets * SECRET,
        "reading secrets": _secret_reads(functions, runs) * SECRET_READ,
        "polling queues": polls * ((len(queues) - fifo) * PRICES["sqs"] + fifo * PRICES["fifo"]),
        "runs": sum(runs.values()) * PRICES["invocations"]
        + sum(each * IDLE_SECONDS * functions[name]["MemorySize"] / 1024 for name, each in runs.items())
        * PRICES["gb_seconds"],
        "reading the ledger": sum(reads[name] * each for name, each in runs.items()) * PRICES["reads"],
        "logs": sum(runs.values()) * LINES * LINE_BYTES / 1e9 * LOG_GB,
    }


def _secret_reads(functions: Mapping[str, Mapping[str, Any]], runs: Mapping[str, int]) -> float:
    """Count the reads of secrets: at each run a document is older than half a minute, so that it is read again."""
    reads = 0
    for name, each in runs.items():
        variables = functions[name]["Environment"]["Variables"]
        reads += each * sum(variable.endswith("_SECRET") for variable in variables)
    return reads
