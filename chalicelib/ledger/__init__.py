r"""The record of every decision: the shapes of the ledger's rows and the steps by which they change.

No code outside this package names a key or builds a step. Each module stands for one concept. Look first at ``chunks``
(the part of a chunk that never changes), ``remaining`` (its URLs that are in no task yet), ``claims`` (who owns a URL),
``tasks`` (calls of a vendor), ``carriers`` (which tasks carry a chunk's URLs) and ``journal`` (the events of a day).

There is one table with the partition key ``pk`` and the sort key ``sk``. It has these rows and no others:

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
\                           ``control``             the number of the last drain, pauses, blocks by the vendor
\                           ``waiting_from``        behind which chunk a drain begins to read, past old holds
\                           ``usage#<hour>``        bans of one hour, for the caps
\                           ``usage#days``          bans of each of the last days, for the caps
\                           ``person#<day>#<name>`` URLs that a person let through alone on a day
\                           ``sent#<day>``          URLs sent on a day, to a vendor with a daily number
``task#<id>``               ``task``                a ban task
``vendor#<account>#<id>``   ``task``                which of our tasks a vendor task is
``renewals#<account>``      ``<time>#<chunk>``      a chunk whose bans are to be renewed then
``ends#<account>``          ``<time>#<chunk>``      a chunk whose bans edgeban is to end then
``report#<report id>``      ``report``, ``part#…``  a report and its URLs
\                           ``verdict#…``           what intake refused of it, which leaves no claim
\                           ``callback``            that its source is to be told of its outcome
\                           ``queued``              that all of it is in the queue: it is not queued again
``correlation#<source>#…``  ``<report id>``         a report by the id that its source gave it
``report#callbacks``        ``<time>#<report id>``  an outcome that is to be told then
``report#source#<source>…`` ``<report id>``         a webhook report by its source and day
``report#named#<source>``   ``named``               when a source last named a URL
``report#refused#<source>`` ``<day>``               how much was refused at once from a source that had signed
``report#seal``             ``<month>``             the key that seals what edgeban itself queues in a month
``rate#<source>#<minute>``  ``rate``                reports of a source with a rate limit
``subject#<hash>``          ``key``                 the key of a reporter's pseudonym in the archive
``notices#holds``           ``<minute>``            that people were told of new holds in a minute
``jobs``                    ``<unban id>``          an unban that is not carried out yet
``unban#<unban id>``        ``done``                how many URLs a finished unban has undone
``unban#failed``            ``<time>#<who>#<task>`` how many URLs of a person's request a task could not unban
``undone``                  ``<unban id>``          a source or report that was undone: its reporters do not count
``actor#<operator>``        ``<time>#…``            what an operator decided
``about#<subject>``         ``<time>#…``            what was decided about a hold, an account, a source …
``decisions#<year-month>``  ``<time>#…``            everything that people decided in a month
``day#<date>``              ``<time>#<kind>#<id>``  what happened on a day, for the archive
``report#day#<date>``       ``<report id>``         what the outer door refused on a day, for the archive
``policy#statements``       ``<time>``              the words of the policy for statements, in force since then
``policy#document``         ``current``             when the policy in force took effect
\                           ``accounts``            the accounts that the policy named an hour ago
``reader#<function>…``      ``place``               how far a function has read the days
``exports``                 ``<account>``           an account whose vendor exports what it blocked itself
``exports#<account>``       ``<date>``, ``calls``   how far a day's export is; when the vendor may be called next
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
