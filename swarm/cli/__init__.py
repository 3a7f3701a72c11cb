"""Arguments in, bars and JSON lines out; one file a command."""
