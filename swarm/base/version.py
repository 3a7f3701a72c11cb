"""Which version of swarm this is: said to peers and trackers, and read by pyproject.toml."""

from __future__ import annotations

VERSION = "0.1.0"
