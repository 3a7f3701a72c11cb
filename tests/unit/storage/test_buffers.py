"""`storage.buffers`: memory that is used again, and memory in large pages."""

from __future__ import annotations

import pytest

from swarm.storage.buffers import BufferPool, Slabs


def test_a_buffer_that_came_back_is_lent_again_up_to_the_bound() -> None:
    pool = BufferPool(lambda: bytearray(1), kept_max=1)
    first, second = pool.lend(), pool.lend()
    pool.give_back(first)
    pool.give_back(second)

    assert pool.lend() is first
    assert pool.lend() is not second


@pytest.mark.parametrize("length", [16 << 10, 100_000, 3 << 20, 9 << 20])
def test_buffers_of_a_slab_have_their_length_and_nothing_in_common(length: int) -> None:
    slabs = Slabs(length)
    buffers = [slabs.make() for _ in range((10 << 20) // length + 2)]
    for number, buffer in enumerate(buffers):
        assert len(buffer) == length and not any(buffer[:100])
        buffer[:] = bytes([number % 251 + 1]) * length

    assert [buffer[0] for buffer in buffers] == [number % 251 + 1 for number in range(len(buffers))]
    assert [buffer[-1] for buffer in buffers] == [buffer[0] for buffer in buffers]
