"""The info dictionary of a magnet link: fetching it, and giving it to others."""
