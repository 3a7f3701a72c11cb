"""Ports and addresses of a session."""

from __future__ import annotations

import socket

import pytest

from swarm.base.errors import SwarmError
from swarm.session.connections.listener import listen


def test_first_free_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sockets, chosen = listen(["127.0.0.1"], range(port, port + 50))
        for listener in sockets:
            listener.close()
    assert port < chosen < port + 50


def test_no_free_port_is_one_line_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SwarmError, match="in use; choose another with --port, or 0 for any"):
            listen(["127.0.0.1"], [port])


def test_family_that_is_not_there_is_left_out() -> None:
    sockets, port = listen(["127.0.0.1", "192.0.2.1"], [0])
    assert [listener.getsockname() for listener in sockets] == [("127.0.0.1", port)]
    sockets[0].close()
