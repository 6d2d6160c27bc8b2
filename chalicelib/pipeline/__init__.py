"""What the Lambda functions do, a folder a capability. Collaborators and the time are arguments, bound in a `Run`."""
