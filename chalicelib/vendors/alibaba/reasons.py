"""The vendor's reason codes: their words, and the report category of each."""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, tuple[str, str]]] = {
    "PR001": ("pornography", "pornography"),
    "PR002": ("gambling", "gambling"),
    "PR003": ("prohibited items", "prohibited_goods"),
    "PR004": ("prohibited items", "prohibited_goods"),
    "PR005": ("prohibited items", "prohibited_goods"),
    "PR006": ("illegal activities", "illegal_activity"),
    "PR007": ("political content", "political"),
    "PR008": ("fraud or tort", "fraud"),
    "PR009": ("illicit content", "illegal_content"),
    "PR100": ("brute-force attack", "attack"),
    "PR101": ("DDoS", "attack"),
    "PR102": ("phishing", "phishing"),
    "PR103": ("DNS attack", "attack"),
    "PR104": ("spam", "spam"),
    # PR105 and PR106 are not in the vendor's table.
    "PR107": ("crawlers", "crawler"),
    "PR108": ("botnet", "botnet"),
    "PR109": ("attacks on external systems", "attack"),
    "PR201": ("malicious program", "malware"),
    "PR300": ("domain without real-name verification", "unverified_domain"),
}
"""Code → words and category. From the columns of the export's file, as the vendor documents them:
https://www.alibabacloud.com/help/en/cdn/developer-reference/api-cdn-2018-05-10-createillegalurlexporttask"""

UNKNOWN_CATEGORY: Final = "other"


def reason_in_words(code: str) -> tuple[str, str]:
    """Return the words and the category of a reason code. An unknown code is its own words."""
    return REASONS.get(code.strip().upper(), (code, UNKNOWN_CATEGORY))
