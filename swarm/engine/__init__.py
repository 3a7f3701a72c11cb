"""The piece-exchange engine: desks that decide, and one coordinator that routes.

The door is `engine.torrent.TorrentEngine`: `handle(event, now) -> list[Command]`, `next_wakeup()`,
`check()`. It does no I/O, reads no clock and draws no entropy of its own, so that the same code
runs behind real sockets and in the simulator.
"""
