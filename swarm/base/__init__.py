"""Nouns and numbers of the domain; every other room may import from here."""
