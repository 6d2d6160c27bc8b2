"""The function that calls sources back with the outcomes of their reports. A queue starts it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chalicelib.bootstrap import Services

OUTCOMES_MARGIN = timedelta(seconds=30)
"""One receiver that uses up its whole timeout, reading a large report, and slack."""


def call_source_back(services: Services, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Call one source back about the reports in a message that have ended.

    The message is done then, even if calls failed: a report whose outcome was not delivered is due in the ledger.
    """
    from chalicelib.pipeline.answers.outcomes import deliver_outcomes

    (record,) = event["Records"]
    named = json.loads(record["body"])
    source = services.sources.get(str(named["source"]))
    deliver_outcomes(services.run(context, OUTCOMES_MARGIN), source, named["reports"], services.post)
    return {"batchItemFailures": []}
