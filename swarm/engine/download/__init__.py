"""What to ask of whom, and what to make of what comes."""
