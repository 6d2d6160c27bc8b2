"""What sources and operators are told.

``url_status`` and ``history`` explain a URL, ``overview`` and ``stats`` count, ``ban_index`` lists and searches bans in
force (``index_check`` compares it with the ledger). ``outcomes`` calls sources back (``receiver_calls`` overlaps the
calls), ``due_outcomes`` finds the reports that are due, ``end_notices`` tells people of ends. ``statements`` states the
reasons of bans (``decided_bans``, ``statement_words``, ``dsa``). ``as_json`` writes states and decisions as JSON.
"""
