"""What users name a torrent by."""

from __future__ import annotations

import pytest

from swarm.net import http
from swarm.session.torrent_source import is_url, read_source


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
