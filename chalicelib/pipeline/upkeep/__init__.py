"""Bans in force: ``renew`` renews them, ``drift`` compares them with the vendor's list, ``verify`` asks the edge.

``take_over`` makes bans ours that the vendor had before. ``canary`` bans and lifts a page of ours every day.
``left_accounts`` tells people of accounts that leave the policy while there is work.
"""
