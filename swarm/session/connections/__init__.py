"""Links to peers: who comes in, whom we dial, and how fast they go."""
