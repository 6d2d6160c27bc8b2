"""What the policy decides about one URL: rules, protection and the counts behind the caps."""
