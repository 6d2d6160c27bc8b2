"""One file per AWS service: the only importers of boto3."""
