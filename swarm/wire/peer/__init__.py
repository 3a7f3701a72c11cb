"""The peer wire protocol and its extensions, both directions (BEP 3, 6, 9, 10, 11, 21, 54, 55)."""
