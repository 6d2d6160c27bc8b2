"""One module a Lambda function, one public function each; collaborators and the time are arguments."""
