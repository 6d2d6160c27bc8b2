"""Finished days in S3: the vendors' exports and the ledger."""
