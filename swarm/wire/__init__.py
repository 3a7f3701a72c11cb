"""Bytes to messages and back, without I/O: a module or package for each protocol."""
