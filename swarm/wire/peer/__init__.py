"""The peer wire protocol, both directions (BEP 3, 6, 10, 21, 54)."""
