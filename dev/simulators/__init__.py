"""Stand-ins for vendors, which speak the documented API over real HTTP. None of them imports ``chalicelib``."""
