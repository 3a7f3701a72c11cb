"""Magnet links, until they are torrents."""
