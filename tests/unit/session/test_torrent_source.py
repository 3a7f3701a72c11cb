"""What users name a torrent by."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.base.ids import InfoHash
from swarm.metainfo.magnet import Magnet
from swarm.net import http
from swarm.session.torrent_source import is_url, magnet_of, read_source


@pytest.mark.parametrize("url", ["http://host/a.torrent", "HTTPS://host/a.torrent", "Http://host/a.torrent"])
async def test_url_is_fetched_whatever_the_case_of_its_scheme(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(asked: str, *_: object) -> bytes:
        return asked.encode()

    monkeypatch.setattr(http, "fetch", fetch)
    assert await read_source(url) == url.encode()


def test_path_is_no_url() -> None:
    assert not is_url("http.torrent") and not is_url("ftp://host/a.torrent")


def test_info_hash_may_be_text_unless_a_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = Magnet(InfoHash(bytes(range(20))))
    assert magnet_of(bytes(range(20)).hex()) == expected
    assert magnet_of("AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT") == expected
    assert magnet_of("data.torrent") is None
    (tmp_path / bytes(range(20)).hex()).touch()
    assert magnet_of(bytes(range(20)).hex()) is None
