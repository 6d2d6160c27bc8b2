"""The record of every decision: the shapes of the ledger's rows and the steps by which they change.

One table, partition key ``pk``, sort key ``sk``:

===========================  =====================  ===========================================================
pk                           sk                     what it is, and who writes it when
===========================  =====================  ===========================================================
``url#<url key>``            ``claim``              one URL at one vendor account; written once, when claimed
``chunk#<id>``               ``chunk``              the URLs of a chunk, compressed; written once, before the claims
``chunk#<id>``               ``task#<task id>``     which task carries which part of the chunk
``account#<account>``        ``chunk#<id>``         a chunk that is not yet wholly in tasks: open, waiting or held
``account#<account>``        ``live#<task id>``     a task that is not finished
``account#<account>``        ``control``            submitter's epoch, pause, blocked
``task#<id>``                ``task``               a ban task
``vendor#<account>#<id>``    ``task``               which of our tasks a vendor task is
``report#<report id>``       ``report``, ``urls#``  a report and its URLs
``day#<date>``               ``<time>#<kind>#<id>`` what happened on a day, for the archive
``reader#<function>…``       ``place``              how far a function has read the days
``report#day#<date>``        ``<report id>#<part>`` what the outer door refused on a day, for the archive
``exports``                  ``<account>``          an account with exports of the vendor
``exports#<account>``        ``<date>``, ``calls``  how far the export of a day is; when the vendor may be called next
===========================  =====================  ===========================================================

Rows outlive a ban by ``KEEP`` and then expire by the table's TTL on ``expires_at``.
"""

from datetime import timedelta

KEEP = timedelta(days=40)
"""How long rows outlive what they record: real feeds repeat a URL after more than 32 days."""
