"""The command line: arguments in; results, progress bars and JSON lines out. One file for each command."""
