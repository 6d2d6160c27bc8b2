"""The project with shorter times, to be deployed locally: a fault run cannot wait five minutes for a lease.

The product contains nothing of this. A copy of it is deployed, in which the durations below are replaced in the same
proportions; the other code is as it ships. A replacement that no longer finds its text fails. ``BREAKS`` removes one
mechanism, to see that the checker notices.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from dev.package import ROOT, SOURCES

Replacement = tuple[str, str, str]
"""File, text, and the replacement of the text."""

TIMES: tuple[Replacement, ...] = (
    ("chalicelib/ledger/remaining.py", "\nLEASE = timedelta(minutes=5)\n", "\nLEASE = timedelta(seconds=20)\n"),
    (
        "chalicelib/pipeline/submission/vendor_tasks.py",
        "\nLIST_LAG = timedelta(seconds=60)\n",
        "\nLIST_LAG = timedelta(seconds=12)\n",
    ),
    (
        "chalicelib/pipeline/submission/parallel_calls.py",
        "\nCALL_WITHIN = timedelta(seconds=20)\n",
        "\nCALL_WITHIN = timedelta(seconds=3)\n",
    ),
    ("chalicelib/vendors/http.py", "\nREAD_TIMEOUT: Final = 10.0\n", "\nREAD_TIMEOUT: Final = 4.0\n"),
    ("chalicelib/vendors/http.py", "\nTOTAL_TIMEOUT: Final = 15.0\n", "\nTOTAL_TIMEOUT: Final = 5.0\n"),
    (
        "chalicelib/vendors/workerskv/client.py",
        "    settles=timedelta(seconds=60),",
        "    settles=timedelta(seconds=4),",
    ),
    (
        "chalicelib/vendors/cloudfrontkvs/client.py",
        "    settles=timedelta(seconds=30),",
        "    settles=timedelta(seconds=3),",
    ),
    ("chalicelib/vendors/alibaba/esa.py", "    settles=timedelta(minutes=1),", "    settles=timedelta(seconds=4),"),
    (
        "chalicelib/ledger/control.py",
        "\nACCESS_BLOCK = timedelta(minutes=10)",
        "\nACCESS_BLOCK = timedelta(seconds=6)",
    ),
    ("chalicelib/ledger/control.py", "\nQUOTA_BLOCK = timedelta(minutes=15)", "\nQUOTA_BLOCK = timedelta(seconds=8)"),
    (
        "chalicelib/pipeline/submission/failed_tasks.py",
        "\nRETRY_AFTER = timedelta(seconds=30)\n",
        "\nRETRY_AFTER = timedelta(seconds=2)\n",
    ),
    (
        "chalicelib/pipeline/submission/track.py",
        "\nLOST_AFTER = timedelta(hours=1)\n",
        "\nLOST_AFTER = timedelta(seconds=40)\n",
    ),
    (
        "chalicelib/pipeline/submission/vendor_tasks.py",
        "\nOVERDUE_AFTER = timedelta(hours=2)\n",
        "\nOVERDUE_AFTER = timedelta(seconds=42)\n",
    ),
    (
        "chalicelib/pipeline/decisions/unban.py",
        "\nOVERDUE_AFTER = timedelta(hours=1)\n",
        "\nOVERDUE_AFTER = timedelta(seconds=50)\n",
    ),
    (
        "chalicelib/pipeline/submission/failed_tasks.py",
        "\nPASSES_AFTER = timedelta(minutes=5)\n",
        "\nPASSES_AFTER = timedelta(seconds=4)\n",
    ),
    (
        "chalicelib/pipeline/lifecycle/ending.py",
        "\nSOONEST = timedelta(minutes=1)\n",
        "\nSOONEST = timedelta(seconds=2)\n",
    ),
    (
        "chalicelib/pipeline/submission/granted_days.py",
        "\nENDS_LATER = timedelta(minutes=1)\n",
        "\nENDS_LATER = timedelta(seconds=2)\n",
    ),
    (
        "chalicelib/handlers/queues.py",
        "\nSUBMIT_MARGIN = timedelta(seconds=40)\n",
        "\nSUBMIT_MARGIN = timedelta(seconds=8)\n",
    ),
    (
        "chalicelib/pipeline/submission/refused_content.py",
        "\nHOST_SOONEST, HOST_LATEST = timedelta(minutes=1), timedelta(minutes=15)\n",
        "\nHOST_SOONEST, HOST_LATEST = timedelta(seconds=3), timedelta(seconds=8)\n",
    ),
    ("chalicelib/aws/documents.py", "\nMAX_AGE = 30.0\n", "\nMAX_AGE = 3.0\n"),
)

INTAKE_VISIBILITY = 20
"""Seconds of the reports queue, set in the deployed stack: as long as the shortened lease."""

SUBMIT_TIMEOUT = 20
SUBMIT_VISIBILITY = 21
"""Seconds of the submitter and its queue, set in the deployed stack: one just above the other, as in the template."""

BREAKS: dict[str, Replacement] = {
    "adoption": (
        "chalicelib/pipeline/submission/lost_answers.py",
        "        now, rows = self._run.clock(), self._run.rows\n        steps = ",
        '        return ""\n        now, rows = self._run.clock(), self._run.rows\n        steps = ',
    ),
    "claims": (
        "chalicelib/ledger/claims.py",
        "return claimed | take(rows, takings, lambda claim: claim.chunk == chunk.id)",
        "return {*chunk.keys} | take(rows, takings, lambda claim: claim.chunk == chunk.id)",
    ),
    "settle": (
        "chalicelib/pipeline/submission/lost_answers.py",
        "if now < task.attempted_at + LIST_LAG or",
        "if now < task.attempted_at or",
    ),
    "leases": (
        "chalicelib/pipeline/submission/sweep.py",
        "work.lease_until < now",
        "work.lease_until < work.received_at",
    ),
    "pace": ("chalicelib/domain/pacing.py", "        if self.due > now:\n", "        if False:\n"),
    "urls": (
        "chalicelib/domain/urls.py",
        '    if "@" in href:\n',
        '    href = href.replace("%2F", "/")\n    if "@" in href:\n',
    ),
}
"""Mechanisms, each with the replacements that remove it."""


def shortened(directory: Path, *, without: Iterable[str] = ()) -> Path:
    """Copy what is packaged into ``directory``, with the times above; ``without`` names mechanisms to leave out.

    Other files in it stay, such as those by which the next packaging is quick.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        target = directory / source
        if (ROOT / source).is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
    for file, old, new in (*TIMES, *(BREAKS[name] for name in without)):
        path = directory / file
        text = path.read_text()
        if text.count(old) != 1:
            raise LookupError(f"{file} holds {old.strip()!r} {text.count(old)} times: adapt {__name__}")
        path.write_text(text.replace(old, new))
    return directory
