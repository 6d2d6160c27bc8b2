"""The four documents that operators write, and the one reader that parses them.

fields            reads values; says what is wrong: the field's path, its problem and the remedy
policy            what may be banned, for how long, and when a person decides (docs/policy.md)
sources           who may report, and how they prove who they are (docs/adding-a-source.md)
operators         whose token may do what at the API (docs/operating.md)
vendor_accounts   how each vendor account is reached (docs/adding-a-vendor.md)
"""
