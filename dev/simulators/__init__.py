"""Stand-ins for vendors that speak the documented API over real HTTP. None imports ``chalicelib``."""
