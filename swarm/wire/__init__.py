"""Bytes to messages and back; one module a protocol, no I/O."""
