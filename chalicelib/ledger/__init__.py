r"""The record of every decision: the shapes of the ledger's rows and the steps by which they change.

No code outside this package names a key or builds a step. Each module stands for one concept. Look first at ``chunks``
(the part of a chunk that never changes), ``remaining`` (its URLs that are in no task yet), ``claims`` (who owns a URL),
``tasks`` (calls of a vendor), ``carriers`` (which tasks carry a chunk's URLs) and ``journal`` (the events of a day).

There is one table with the partition key ``pk`` and the sort key ``sk``. It has these rows and no others:

==========================  ======================  ================================================================
pk                          sk                      what it is
==========================  ======================  ================================================================
``url#<url key>``           ``claim``               one URL at one vendor account: one write when claimed
\                           ``reporters``           the counted reporters, if a category wants several
``chunk#<id>``              ``chunk``               the URLs of a chunk, compressed; written once, before the claims
\                           ``task#<task id>``      a task that carries a part of the chunk
``account#<account>``       ``chunk#<id>``          a chunk that is not yet wholly in tasks: open, waiting or held
\                           ``unban#<chunk id>``    marks such a chunk as an unban: unbans are sent first
\                           ``live#<task id>``      a task that is not finished
\                           ``control``             the number of the last drain, pauses, blocks by the vendor
\                           ``waiting_from``        the place after the old holds, where drains begin to read
\                           ``usage#<hour>``        bans of one hour, for the caps
\                           ``usage#days``          bans of each of the last days, for the caps
\                           ``person#<day>#<name>`` URLs that a person let through alone on a day
\                           ``sent#<day>``          URLs sent on a day, for a vendor with a daily quota
``task#<id>``               ``task``                a ban task
``vendor#<account>#<id>``   ``task``                our task for a vendor task
``renewals#<account>``      ``<time>#<chunk>``      a chunk whose bans are renewed at that time
``ends#<account>``          ``<time>#<chunk>``      a chunk whose bans edgeban ends at that time
``report#<report id>``      ``report``, ``part#…``  a report and its URLs
\                           ``verdict#…``           its URLs that intake refused: they have no claim
\                           ``callback``            the state of its callback, if the source wants one
\                           ``queued``              says that all its parts are queued, so none is queued again
``correlation#<source>#…``  ``<report id>``         finds a report by the id that its source gave it
``report#callbacks``        ``<time>#<report id>``  a report whose callback is due at that time
``report#source#<source>…`` ``<report id>``         finds a webhook report by its source and day
``report#named#<source>``   ``named``               when a source last named a URL
``report#refused#<source>`` ``<day>``               refusals at once, of a source whose signature was right
``report#seal``             ``<month>``             the key that seals the messages of a month
``rate#<source>#<minute>``  ``rate``                reports of one minute, of a source with a rate limit
``subject#<hash>``          ``key``                 the key of a reporter's pseudonym in the archive
``notices#holds``           ``<minute>``            says that people were told of new holds in that minute
``jobs``                    ``<unban id>``          an unban that is not carried out yet
``unban#<unban id>``        ``done``                how many URLs a finished unban has undone
``unban#failed``            ``<time>#<who>#<task>`` how many URLs of a person's request a task could not unban
``undone``                  ``<unban id>``          a source or report that was undone: its reporters do not count
``actor#<operator>``        ``<time>#…``            decisions of an operator
``about#<subject>``         ``<time>#…``            decisions about a hold, an account, a source …
``decisions#<year-month>``  ``<time>#…``            all decisions of people in a month
``day#<date>``              ``<time>#<kind>#<id>``  events of a day, for the archive
``report#day#<date>``       ``<report id>``         refusals by ``receive_report`` on a day, for the archive
``policy#statements``       ``<time>``              the words of the policy for statements, in force since then
``policy#document``         ``current``             when the policy in force took effect
\                           ``accounts``            the accounts that the policy named when they were last recorded
``reader#<function>…``      ``place``               how far a function has read the days
``exports``                 ``<account>``           an account whose vendor exports its own blocks
``exports#<account>``       ``<date>``, ``calls``   the state of a day's export; the time of the next call
==========================  ======================  ================================================================

Claims and reports outlive a ban by ``KEEP``, chunks and tasks by ``KEEP_DECISIONS``. Then the table's TTL on
``expires_at`` deletes them.
"""

from datetime import timedelta

KEEP = timedelta(days=40)
"""How long rows outlive what they record: real feeds repeat a URL after more than 32 days."""

KEEP_DECISIONS = timedelta(days=400)
"""How long chunks and tasks outlive their bans. A URL's history needs them, and a hold that nobody decides for months.
They cost little: one row for up to a thousand URLs."""

ROW_VERSION = 1
"""Counts the shapes of the ledger's rows; CONTRIBUTING.md says what a change of a shape demands.

1: as edgeban 1.0.0 wrote them.
"""
