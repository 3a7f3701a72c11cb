"""Magnet links: the vectors of libtorrent, BEP 9 and BEP 53, and what is ours to refuse."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.base.errors import MetainfoError
from swarm.base.ids import InfoHash
from swarm.metainfo import magnet
from swarm.metainfo.magnet import Magnet

CD = "cd" * 20
XT = f"magnet:?xt=urn:btih:{CD}"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            f"{XT}&tr=http://1&tr=http://2&tr=http://3&tr=http://3&dn=foo&dht=127.0.0.1:43",
            {
                "trackers": ("http://1", "http://2", "http://3"),
                "name": "foo",
                "dht_nodes": (("127.0.0.1", 43),),
            },
        ),
        (f"magnet:?tr=http://1&dn=foo&xt=urn:ed2k:a0a9277894123b27945224fbac8366c9&xt=urn:btih:{CD}", {}),
        (
            "magnet:?tr=udp%3A%2F%2Ftracker.openbittorrent.com%3A80&tr=udp%3A%2F%2Ftracker.publicbt.com%3A80"
            f"&xt=urn:btih:{CD}&dn=Ubuntu+11.04+%28Final%29",
            {
                "name": "Ubuntu 11.04 (Final)",
                "trackers": ("udp://tracker.openbittorrent.com:80", "udp://tracker.publicbt.com:80"),
            },
        ),
        (f"magnet:?xt=urn%3Abtih%3A{CD}", {}),
        (f"magnet:?xt=urn:btih:{CD[:-1]}%64", {}),
        (
            f"magnet:?XT=urn:btih:{CD[:-1]}%64&dN=foobar&Ws=http://foo.com/bar",
            {"name": "foobar", "web_seeds": ("http://foo.com/bar",)},
        ),
        (f'magnet:?"foo=bar&xt=urn:btih:{CD}', {}),
        (
            f"{XT}&ws=http://foo.com/bar&ws=http://bar.com/foo",
            {"web_seeds": ("http://foo.com/bar", "http://bar.com/foo")},
        ),
        (
            f"{XT}&x.pe=127.0.0.1:43&x.pe=<invalid1>&x.pe=<invalid2>:100&x.pe=[::1]:45",
            {"peers": (("127.0.0.1", 43), ("::1", 45))},
        ),
        (f"{XT}&x.pe=127.0.0.1:43&x.pe=127.0.0.1:43", {"peers": (("127.0.0.1", 43),)}),
        (f"{XT}&dht=10.0.0.1:1337&dht=foobar.com:1", {"dht_nodes": (("10.0.0.1", 1337), ("foobar.com", 1))}),
        (f"{XT}&so=0,2,4,6-8", {"selected": (0, 2, 4, 6, 7, 8)}),
        (f"{XT}&so=0,2-4,3-5", {"selected": (0, 2, 3, 4, 5)}),
        (f"{XT}&so=5-9,0-2,1-6,3", {"selected": tuple(range(10))}),
        (f"{XT}&so=2-4&dht=10.0.0.1:1337&so=1", {"selected": (1, 2, 3, 4)}),
        (f"{XT}&so=7-4,100000000&so=10", {"selected": (10,)}),
        (f"{XT}&so=-4&so=1", {"selected": (1,)}),
        (f"{XT}&so=3-&so=1", {"selected": (1,)}),
        (f"{XT}&so=a&so=,,1", {"selected": (1,)}),
        (f'{XT}&so="1,2"', {"selected": ()}),
        (
            "magnet:?tr.0=udp://1&tr.1=http://2&tr=http://3&tr.a=http://no&xt=urn:btih:" + CD,
            {"trackers": ("udp://1", "http://2", "http://3")},
        ),
        (
            f"{XT}&tr=ftp://1&tr=HTTP://2&tr=udp://4&tr=https://5&tr=magnet:?xt=urn:btih:abc123&tr=http%3A%2F%2Ffoo"
            "&tr=<!DOCTYPE html><html>&tr=httpabc&tr=udpabc&tr=&tr=http://[",
            {"trackers": ("HTTP://2", "udp://4", "https://5", "http://foo")},
        ),
        (f"{XT}&kt=joe+blow+mp3&xl=10826029", {"total_bytes": 10826029}),
        (f"{XT}&xl=-5&xl=many", {"total_bytes": None}),
        (f"{XT}&xt=urn:btmh:1220{'d2' * 32}", {}),
    ],
)
def test_link_is_read(link: str, expected: dict[str, Any]) -> None:
    read = magnet.parse(link)
    assert read.info_hash == bytes.fromhex(CD)
    assert {key: getattr(read, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("digits", "info_hash"),
    [
        ("MFRGCYTBMJQWEYLCMFRGCYTBMJQWEYLC", "6162616261626162616261626162616261626162"),
        ("64DZYZWMUAVLIWJUXGDIK4QGAAIN7SL6", "f7079c66cca02ab45934b9868572060010dfc97e"),
        ("qhqxpywmackdwkp47rrviv7vourxfe5q", "81e177e2cc00943b29fcfc635457f575237293b0"),
        ("AAD050EE1BB22E196939547B134535824DABF0CE", "aad050ee1bb22e196939547b134535824dabf0ce"),
    ],
)
def test_info_hash_may_be_hex_or_base32(digits: str, info_hash: str) -> None:
    assert str(magnet.parse(f"magnet:?xt=urn:btih:{digits}").info_hash) == info_hash


@pytest.mark.parametrize(
    "link",
    [
        "", "magnet:", "magnet:?", "http://a/?xt=urn:btih:" + CD, "magnet:?a=&b=&c=", "magnet:?tr=",
        "magnet:?xt", "magnet:?xt=urn%%3A", "magnet:?dn=foo&dht=127.0.0.1:43", "magnet:?xt=blah&dn=foo",
        "magnet:?xt=?dn=",
        "magnet:?xt=urn:btih:abababab", "magnet:?xt=urn:btih:" + "z" * 40, "magnet:?xt=urn:btih:===",
        "magnet:?xt=urn:btih: abababababababababab", "magnet:?xt=urn:btih:abaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
        "magnet:?xt=urn:sha1:PDAQRAOQQRYS76MRZJ33LK4MMVZBDSCL",
        "magnet:?xt=urn:md5:4e7bef74677be349ccffc6a178e38299",
        f"{XT[:-1]}é", XT + "&dn=" + "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_link_of_ours_is_refused(link: str) -> None:
    with pytest.raises(MetainfoError) as caught:
        magnet.parse(link)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("link", [f"magnet:?xt=urn:btmh:1220{'cd' * 32}", "magnet:?xt=urn:btmh:==="])
def test_link_of_v2_only_is_refused_with_that_reason(link: str) -> None:
    with pytest.raises(MetainfoError, match="v2 only"):
        magnet.parse(link)


def test_made_link_reads_back() -> None:
    made = magnet.make(
        InfoHash(b"a" * 20),
        name="a b&c=ä/%",
        trackers=["http://t/announce?key=1&x=2", "udp://u:80"],
        web_seeds=["http://w/a b"],
        peers=[("127.0.0.1", 6881), ("::1", 45)],
    )
    assert magnet.parse(made) == Magnet(
        InfoHash(b"a" * 20),
        name="a b&c=ä/%",
        trackers=("http://t/announce?key=1&x=2", "udp://u:80"),
        web_seeds=("http://w/a b",),
        peers=(("127.0.0.1", 6881), ("::1", 45)),
    )


def test_made_link_is_what_libtorrent_makes() -> None:
    assert magnet.make(InfoHash(b"a" * 20), peers=[("127.0.0.1", 6881), ("1.2.3.4", 1234)]) == (
        f"magnet:?xt=urn:btih:{'61' * 20}&x.pe=127.0.0.1:6881&x.pe=1.2.3.4:1234"
    )


def test_entries_beyond_the_limit_are_ignored() -> None:
    read = magnet.parse(XT + "".join(f"&tr=http://{number}" for number in range(magnet.MAX_ENTRIES + 100)))
    assert len(read.trackers) == magnet.MAX_ENTRIES


def test_selection_that_says_everything_thousands_of_times_is_everything_once() -> None:
    assert magnet.parse(f"{XT}&so={'0-500000,' * 7000}9").selected == tuple(range(500_001))
