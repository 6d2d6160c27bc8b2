"""What sources and operators are told."""
