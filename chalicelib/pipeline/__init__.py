"""What the Lambda functions do: one folder for each capability. A `Run` holds the collaborators and the clock."""
