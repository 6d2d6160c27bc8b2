"""edgeban: abuse reports in, URL bans at CDNs out, and the record of it."""
