"""Edits keep what they do not know, and the info bytes as found."""

from __future__ import annotations

import pytest

from swarm.base import bencode
from swarm.base.errors import MetainfoError
from swarm.metainfo.edit import Changes, edit
from swarm.metainfo.torrent import Metainfo

#: Keys unsorted on purpose: encoded anew, they would have another hash.
INFO = b"d4:name1:x6:lengthi5e12:piece lengthi16384e6:pieces20:" + b"h" * 20 + b"4:zzzzd1:bi1e1:ai2eee"
RAW = b"d8:announce8:http://a4:info" + INFO + b"5:nodesll3:1.2i5eee10:x-whatever4:keep7:comment3:olde"


def test_edit_of_trackers_keeps_unknown_keys_and_info_hash() -> None:
    edited = edit(RAW, Changes(trackers=(("http://b", "http://c"), ("http://d",))))
    before, after = Metainfo.parse(RAW), Metainfo.parse(edited)
    assert after.info_hash == before.info_hash
    assert after.info_bytes == INFO
    assert after.trackers == (("http://b", "http://c"), ("http://d",))
    assert after.comment == "old"
    assert b"5:nodesll3:1.2i5eee" in edited
    assert b"10:x-whatever4:keep" in edited


def test_empty_changes_remove() -> None:
    raw = edit(RAW, Changes(trackers=(), comment="", web_seeds=(), creation_date=0, created_by=""))
    top = bencode.decode(raw)
    assert isinstance(top, dict)
    assert sorted(top) == [b"info", b"nodes", b"x-whatever"]


def test_comment_date_maker_and_web_seeds_are_set() -> None:
    torrent = Metainfo.parse(
        edit(RAW, Changes(comment="ü", web_seeds=("http://w",), creation_date=7, created_by="m"))
    )
    assert (torrent.comment, torrent.web_seeds, torrent.creation_date, torrent.created_by) == (
        "ü",
        ("http://w",),
        7,
        "m",
    )


def test_utf8_twin_of_the_comment_does_not_survive() -> None:
    raw = b"d7:comment1:a13:comment.utf-81:b4:info" + INFO + b"e"
    assert Metainfo.parse(edit(raw, Changes(comment="new"))).comment == "new"


def test_changes_within_the_info_dictionary_keep_its_other_keys() -> None:
    changes = Changes(is_private=True, source="S", name="other")
    assert changes.is_of_info
    torrent = Metainfo.parse(edit(RAW, changes))
    assert (torrent.is_private, torrent.source, torrent.name) == (True, "S", "other")
    assert b"4:zzzzd1:bi1e1:ai2ee" in torrent.info_bytes
    public = Metainfo.parse(edit(edit(RAW, Changes(is_private=True)), Changes(is_private=False)))
    assert b"private" not in public.info_bytes


@pytest.mark.parametrize("raw", [b"", b"de", b"<html>", RAW + b"x"])
def test_what_is_no_torrent_is_not_edited(raw: bytes) -> None:
    with pytest.raises(MetainfoError, match=r"not a \.torrent"):
        edit(raw, Changes(comment="x"))
