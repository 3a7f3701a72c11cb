"""What is on the disk: who may write there, what is believed of it, and what is kept for the next time."""
