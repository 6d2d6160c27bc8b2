"""From a report to claimed URLs in sealed chunks.

What every URL passes, in this order: ``receive`` takes a report from the webhook and queues it, ``batch`` takes a batch
of queue messages: it reads each (``messages``), collects their URLs (``collect``), decides about each (``decide``) and
claims them.

What only some pass: ``deliveries`` (repeated, too many), ``ours``, ``sealing``, ``envelopes`` (objects in S3),
``silence``, ``time_limit``; ``corroboration`` (several reporters), ``on_record``, ``strengthen`` and ``refusals`` (URLs
that the ledger knows, or that are refused), ``taken_back`` and ``withdraw`` (withdrawals), ``counts``.
"""
