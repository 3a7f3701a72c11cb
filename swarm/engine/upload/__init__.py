"""Whom to serve, and with what."""
