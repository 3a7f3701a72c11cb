"""Info dictionaries that were fetched once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from swarm.base.errors import StorageError
from swarm.base.ids import InfoHash
from swarm.session.magnets import metadata_cache

INFO = b"d6:lengthi1e4:name1:ae"
HASH = InfoHash(hashlib.sha1(INFO).digest())


async def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    state = tmp_path / "not there yet"
    assert await metadata_cache.load(state, HASH) is None
    await metadata_cache.save(state, HASH, INFO)
    assert await metadata_cache.load(state, HASH) == INFO


@pytest.mark.parametrize("damaged", [b"", INFO[:-1], INFO + b"x", b"d6:lengthi2e4:name1:ae"])
async def test_what_does_not_have_the_hash_is_not_there(tmp_path: Path, damaged: bytes) -> None:
    metadata_cache.cache_path(tmp_path, HASH).write_bytes(damaged)
    assert await metadata_cache.load(tmp_path, HASH) is None


async def test_a_folder_in_its_place_is_a_disk_error(tmp_path: Path) -> None:
    metadata_cache.cache_path(tmp_path, HASH).mkdir()
    with pytest.raises(StorageError):
        await metadata_cache.load(tmp_path, HASH)
