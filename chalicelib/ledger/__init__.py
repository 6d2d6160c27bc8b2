r"""The record of every decision: the shapes of the ledger's rows and the steps by which they change.

No code outside this package names a key or builds a step. A module stands for one concept; where to look first:
``chunks`` (what is written of a chunk once), ``remaining`` (what of it is in no task yet), ``claims`` (who owns a URL),
``tasks`` (calls of a vendor), ``carriers`` (which tasks carry a chunk's URLs), ``journal`` (the events of a day).

One table, partition key ``pk``, sort key ``sk``:

==========================  ======================  ================================================================
pk                          sk                      what it is
==========================  ======================  ================================================================
``url#<url key>``           ``claim``               one URL at one vendor account: one write when claimed
\                           ``reporters``           who reported it, where a category asks for several
``chunk#<id>``              ``chunk``               the URLs of a chunk, compressed; written once, before the claims
\                           ``task#<task id>``      which task carries which part of the chunk
``account#<account>``       ``chunk#<id>``          a chunk that is not yet wholly in tasks: open, waiting or held
\                           ``unban#<chunk id>``    that such a chunk is an unban: these are sent first
\                           ``live#<task id>``      a task that is not finished
\                           ``control``             submitter's epoch, pause, blocked
\                           ``usage#<hour>``        bans of one hour, for the caps
\                           ``usage#days``          bans of each of the last days, for the caps
``task#<id>``               ``task``                a ban task
``vendor#<account>#<id>``   ``task``                which of our tasks a vendor task is
``renewals#<account>``      ``<time>#<chunk>``      a chunk whose bans are to be renewed then
``ends#<account>``          ``<time>#<chunk>``      a chunk whose bans edgeban is to end then
``report#<report id>``      ``report``, ``part#``   a report and its URLs
\                           ``verdict#…``           what intake refused of it, which leaves no claim
\                           ``callback``            that its source is to be told of its outcome
``correlation#<source>#…``  ``<report id>``         a report by the id that its source gave it
``report#callbacks``        ``<time>#<report id>``  an outcome that is to be told then
``report#source#<source>…`` ``<report id>``         a webhook report by its source and day
``rate#<source>#<minute>``  ``rate``                reports of a source with a rate limit
``subject#<hash>``          ``key``                 the key of a reporter's pseudonym in the archive
``jobs``                    ``<unban id>``          an unban that is not carried out yet
``unban#<unban id>``        ``done``                how many URLs an unban undid that is carried out
``undone``                  ``<unban id>``          a source or report that was undone: it makes no reporter count
``actor#<operator>``        ``<time>#…``            what an operator decided
``about#<subject>``         ``<time>#…``            what was decided about a hold, an account, a source …
``decisions#<year-month>``  ``<time>#…``            what people decided, whoever and about whatever
``day#<date>``              ``<time>#<kind>#<id>``  what happened on a day, for the archive
``report#day#<date>``       ``<report id>#<part>``  what the outer door refused on a day, for the archive
``reader#<function>…``      ``place``               how far a function has read the days
``exports``                 ``<account>``           an account with exports of the vendor
``exports#<account>``       ``<date>``, ``calls``   how far a day's export is; when the vendor may be called next
==========================  ======================  ================================================================

Claims and reports outlive a ban by ``KEEP``, chunks and tasks by ``KEEP_DECISIONS``. Then the table's TTL on
``expires_at`` deletes them.
"""

from datetime import timedelta

KEEP = timedelta(days=40)
"""How long rows outlive what they record: real feeds repeat a URL after more than 32 days."""

KEEP_DECISIONS = timedelta(days=400)
"""How long chunks and tasks outlive their bans: one row for up to a thousand URLs, so that a hold that nobody decided
for months, and the history of a URL, still have what they stand on."""

ROW_VERSION = 1
"""Counts the shapes of the ledger's rows; CONTRIBUTING.md says what a change of a shape demands.

1: as edgeban 1.0.0 wrote them.
"""
