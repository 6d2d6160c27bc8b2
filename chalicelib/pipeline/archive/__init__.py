"""Finished days in S3: the vendors' exports and the ledger.

``exports`` archives a vendor's days (``export_day`` one step of a day, ``export_files`` its files). ``ledger`` archives
the decisions of a day (``ledger_events``, ``summary``). ``files`` and ``keys`` serve both. ``series`` reads counts.
"""
