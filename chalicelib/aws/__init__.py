"""One file for each AWS service. Nothing else imports boto3."""
