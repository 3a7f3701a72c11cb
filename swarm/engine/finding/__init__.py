"""Peers: whom we know of, whom we ask for more, who comes in and who must go."""
