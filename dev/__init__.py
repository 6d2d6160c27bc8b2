"""What serves development only: nothing here ships to Lambda."""
