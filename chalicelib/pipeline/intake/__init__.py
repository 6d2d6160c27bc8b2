"""From a report to claimed URLs in sealed chunks.

Every URL passes these modules, in this order: ``receive`` takes a report from the webhook and queues it. ``batch``
takes a batch of queue messages: it reads each message (``messages``), collects their URLs (``collect``), decides about
each URL (``decide``) and claims the URLs.

Only some URLs pass the others: ``deliveries`` (repeated, too many), ``ours``, ``sealing``, ``envelopes`` (objects in
S3), ``silence``, ``time_limit``; ``corroboration`` (several reporters), ``on_record``, ``strengthen`` and ``refusals``
(URLs that the ledger knows, or that are refused), ``taken_back``, ``withdraw`` and ``questions`` (withdrawals),
``counts``.
"""
