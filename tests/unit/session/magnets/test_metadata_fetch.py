"""Metadata that has the right hash, and is still not to be trusted."""

from __future__ import annotations

import pytest

from swarm.base import bencode
from swarm.base.errors import MetainfoError
from swarm.base.ids import InfoHash
from swarm.metainfo.builder import TorrentOptions
from swarm.session.magnets.metadata_fetch import metainfo_of

INFO = bencode.encode({b"length": 5, b"name": b"a", b"piece length": 16384, b"pieces": b"h" * 20})


def test_info_dictionary_becomes_a_torrent_with_the_trackers_of_the_link() -> None:
    raw, metainfo = metainfo_of(INFO, TorrentOptions(trackers=(("http://t/a",),)))
    assert metainfo.info_bytes == INFO and INFO in raw
    assert metainfo.trackers == (("http://t/a",),)
    assert isinstance(metainfo.info_hash, InfoHash)


@pytest.mark.parametrize(
    "info",
    [
        # Whoever made the link chose the hash, so these have the right one.
        INFO + b"8:url-list11:http://evil",
        INFO + b"13:announce-listll11:http://evileeee"[:-2],
        INFO[:-1],
        INFO + b"e",
        b"",
        b"de",
        b"i5e",
    ],
)
def test_metadata_that_is_no_info_dictionary_is_refused(info: bytes) -> None:
    with pytest.raises(MetainfoError):
        metainfo_of(info, TorrentOptions())
