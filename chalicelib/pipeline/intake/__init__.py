"""From a report to claimed URLs in sealed chunks."""
