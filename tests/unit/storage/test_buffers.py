"""`storage.buffers`: memory that is used again."""

from __future__ import annotations

import pytest

from swarm.storage.buffers import BufferPool, PieceBuffers


def test_a_buffer_that_came_back_is_lent_again_up_to_the_bound() -> None:
    pool = BufferPool(lambda: bytearray(1), kept_max=1)
    first, second = pool.lend(), pool.lend()
    pool.give_back(first)
    pool.give_back(second)

    assert pool.lend() is first
    assert pool.lend() is not second


@pytest.mark.parametrize("length", [16 << 10, 100_000, 3 << 20])
def test_piece_buffers_have_their_length_and_nothing_in_common(length: int) -> None:
    buffers = PieceBuffers()
    lent = [buffers.lend(length) for _ in range(4)]
    for number, buffer in enumerate(lent):
        assert len(buffer) == length and not any(buffer[:100])
        buffer[:] = bytes([number + 1]) * length

    assert [(buffer[0], buffer[-1]) for buffer in lent] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_the_piece_buffer_that_came_back_last_is_lent_first_to_whoever_wants_its_length() -> None:
    buffers = PieceBuffers()
    small, first, second = buffers.lend(100), buffers.lend(200), buffers.lend(200)
    for buffer in (small, first, second):
        buffers.give_back(buffer)

    assert buffers.lend(200) is second
    assert buffers.lend(200) is first
    third = buffers.lend(200)
    assert third is not first and third is not second
    assert buffers.lend(100) is small


def test_piece_buffers_keep_no_more_than_their_bound() -> None:
    buffers = PieceBuffers(kept_bytes_max=250)
    lent = [buffers.lend(100) for _ in range(3)]
    for buffer in lent:
        buffers.give_back(buffer)

    assert buffers.lend(100) is lent[1]
    assert buffers.lend(100) is lent[0]
    assert buffers.lend(100) is not lent[2]


def test_piece_buffers_of_another_torrent_make_room_for_those_in_use() -> None:
    buffers = PieceBuffers(kept_bytes_max=250)
    old, new = [buffers.lend(100), buffers.lend(100)], buffers.lend(200)
    for buffer in (*old, new):
        buffers.give_back(buffer)

    assert buffers.lend(200) is new
    assert all(buffers.lend(100) is not buffer for buffer in old)
