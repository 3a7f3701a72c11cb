"""Reading a .torrent: what it says, what is refused, what is made safe."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from swarm.base.bencode import encode
from swarm.base.errors import MetainfoError
from swarm.metainfo import limits, magnet
from swarm.metainfo import torrent as torrents
from swarm.metainfo.files import FileEntry
from swarm.metainfo.torrent import Metainfo


def info(**changes: Any) -> dict[bytes, Any]:
    """A single file of 100,000 bytes in four pieces; `changes` by key, "_" for a space, None removes."""
    values: dict[bytes, Any] = {
        b"length": 100_000,
        b"name": b"data.bin",
        b"piece length": 32768,
        b"pieces": b"".join(bytes([number]) * 20 for number in range(4)),
    }
    for key, value in changes.items():
        values[key.replace("_", " ").encode()] = value
    return {key: value for key, value in values.items() if value is not None}


def folder(*files: dict[bytes, Any], **changes: Any) -> dict[bytes, Any]:
    """A torrent of `files`; as many pieces as they need."""
    total = sum(file[b"length"] for file in files)
    return info(length=None, files=list(files), pieces=b"x" * 20 * -(-total // 32768), **changes)


def file(length: int, *path: bytes, **changes: Any) -> dict[bytes, Any]:
    return {
        b"length": length,
        b"path": list(path),
        **{key.replace("_", " ").encode(): value for key, value in changes.items()},
    }


def parse(info_dictionary: Any, **top: Any) -> Metainfo:
    values = {key.replace("_", "-").encode(): value for key, value in top.items()}
    return Metainfo.parse(encode({b"info": info_dictionary, **values}))


def test_single_file_is_read() -> None:
    torrent = parse(info())
    assert torrent.name == "data.bin"
    assert torrent.files == (FileEntry((), 100_000, 0),)
    assert not torrent.is_multi_file
    assert (torrent.total_bytes, torrent.geometry.piece_length, torrent.geometry.piece_count) == (
        100_000,
        32768,
        4,
    )
    assert torrent.piece_hash(2) == b"\x02" * 20
    assert torrent.info_hash == hashlib.sha1(encode(info())).digest()
    assert (torrent.is_private, torrent.comment, torrent.creation_date) == (False, "", None)


def test_files_of_a_folder_lie_end_to_end() -> None:
    torrent = parse(folder(file(10, b"a", b"b.txt"), file(0, b"empty"), file(70_000, b"c")))
    assert torrent.is_multi_file
    assert torrent.files == (
        FileEntry(("a", "b.txt"), 10, 0),
        FileEntry(("empty",), 0, 10),
        FileEntry(("c",), 70_000, 10),
    )


def test_info_hash_is_over_the_bytes_as_found_though_keys_are_unsorted() -> None:
    raw_info = b"d6:pieces20:" + b"h" * 20 + b"4:name1:x12:piece lengthi16384e6:lengthi5e3:zzzi1ee"
    torrent = Metainfo.parse(b"d4:info" + raw_info + b"8:announce8:http://ae")
    assert torrent.info_bytes == raw_info
    assert torrent.info_hash == hashlib.sha1(raw_info).digest()
    assert torrent.trackers == (("http://a",),)


def test_decorations_are_read() -> None:
    torrent = Metainfo.parse(
        encode(
            {
                b"info": info(private=1, source=b"S"),
                b"comment": b"hello",
                b"created by": b"me",
                b"creation date": 1_700_000_000,
                b"url-list": [b"http://w/1", b"http://w/2", b"http://w/1", b""],
            }
        )
    )
    assert (torrent.comment, torrent.created_by, torrent.creation_date) == ("hello", "me", 1_700_000_000)
    assert torrent.is_private
    assert torrent.source == "S"
    assert torrent.web_seeds == ("http://w/1", "http://w/2")


def test_decorations_of_the_wrong_type_are_as_if_absent() -> None:
    torrent = Metainfo.parse(
        encode({b"info": info(), b"comment": 1, b"creation date": b"today", b"created by": []})
    )
    assert (torrent.comment, torrent.created_by, torrent.creation_date) == ("", "", None)


@pytest.mark.parametrize(
    ("announce", "listed", "tiers"),
    [
        (b"http://a", None, (("http://a",),)),
        (b"http://a", [[b"http://b", b"http://c"], [b"http://d"]], (("http://b", "http://c"), ("http://d",))),
        (b"http://a", [], (("http://a",),)),
        (b"http://a", [[], [b""]], (("http://a",),)),
        (None, [[b"http://b"]], (("http://b",),)),
        (None, [b"http://b", b"http://c"], (("http://b",), ("http://c",))),
        (None, [[b" http://b\n", b"http://b"]], (("http://b",),)),
        (b"", None, ()),
        (None, None, ()),
    ],
)
def test_trackers_come_in_tiers(announce: bytes | None, listed: Any, tiers: Any) -> None:
    top: dict[bytes, Any] = {b"info": info()}
    if announce is not None:
        top[b"announce"] = announce
    if listed is not None:
        top[b"announce-list"] = listed
    assert Metainfo.parse(encode(top)).trackers == tiers


def test_trackers_beyond_the_limit_are_ignored() -> None:
    tiers = [[b"http://%d" % number for number in range(40)] for _ in range(40)]
    assert sum(map(len, parse(info(), announce_list=tiers).trackers)) <= limits.MAX_TRACKERS


def test_most_of_very_many_web_seeds_and_trackers_are_left_out() -> None:
    urls = [b"http://w/%d" % number for number in range(50_000)]
    torrent = parse(info(), url_list=urls, announce_list=[urls])
    assert len(torrent.web_seeds) == limits.MAX_WEB_SEEDS
    assert list(map(len, torrent.trackers)) == [limits.MAX_TRACKERS]


def test_nodes_of_the_dht_are_read_and_what_is_none_is_passed_over() -> None:
    nodes = [
        [b"10.0.0.1", 6881], [b"router.example", 1], [b"2001:db8::1", 2], [b"10.0.0.1", 6881],
        [b"10.0.0.2", 0], [b"10.0.0.2", 65536], [b"no name", 1], [b"\xff", 1], [b"", 1], [1, 1],
        [b"a"], [], b"a", 7,
    ]  # fmt: skip
    assert parse(info(), nodes=nodes).dht_nodes == (
        ("10.0.0.1", 6881),
        ("router.example", 1),
        ("2001:db8::1", 2),
    )
    assert parse(info(), nodes=5).dht_nodes == parse(info()).dht_nodes == ()
    many = [[b"10.0.0.1", port] for port in range(1, 60_000)]
    assert len(parse(info(), nodes=many).dht_nodes) == magnet.MAX_ENTRIES


def test_one_web_seed_may_be_a_string() -> None:
    assert parse(info(), url_list=b"http://w/").web_seeds == ("http://w/",)
    assert parse(info(), url_list=b"").web_seeds == ()


def test_utf8_twins_are_preferred() -> None:
    values = folder(file(1, b"\xe4") | {b"path.utf-8": ["ä".encode()]})
    values[b"name"] = b"\xf6"
    values[b"name.utf-8"] = "ö".encode()
    torrent = parse(values)
    assert torrent.name == "ö"
    assert torrent.files[0].path == ("ä",)


def test_names_that_are_not_utf8_stay_readable() -> None:
    assert parse(info(name=b"caf\xe9.txt")).name == "caf_.txt"
    assert parse(info(name="日本".encode("shift-jis")), encoding=b"Shift_JIS").name == "日本"
    assert parse(info(name="中".encode("gbk")), encoding=b"GBK").name == "中"


def test_encodings_that_cost_too_much_are_not_used() -> None:
    assert parse(info(name=b"xn--\xff" * 20), encoding=b"idna").name == "xn--_" * 20


def test_pad_files_are_marked_and_may_share_a_name() -> None:
    pad = file(16384, b".pad", b"16384", attr=b"p")
    torrent = parse(folder(file(16384, b"a"), pad, file(16384, b"b", attr=b"x"), pad))
    assert [entry.is_pad for entry in torrent.files] == [False, True, False, True]
    assert torrent.files[1].path == torrent.files[3].path == (".pad", "16384")
    assert torrent.files[3].offset == 49152


def test_symbolic_links_are_left_out() -> None:
    link = file(0, b"link", attr=b"l", symlink_path=[b"..", b"etc", b"passwd"])
    torrent = parse(folder(link, file(5, b"real")))
    assert torrent.files == (FileEntry(("real",), 5, 0),)


def test_hybrid_torrent_is_read_by_its_v1_part() -> None:
    assert parse(info(meta_version=2, file_tree={b"x": {b"": {b"length": 100_000}}})).total_bytes == 100_000


def test_v2_only_torrent_is_refused_with_that_reason() -> None:
    with pytest.raises(MetainfoError, match="v2 only"):
        parse(info(meta_version=2, pieces=None))
    tree = {b"x": {b"": {b"length": 5, b"pieces root": b"r" * 32}}}
    with pytest.raises(MetainfoError, match="v2 only"):
        parse(info(meta_version=2, pieces=None, length=None, file_tree=tree))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"length": None}, "has no length"),
        ({"length": b"5"}, "has no length"),
        ({"length": -1}, "cannot have a length of -1"),
        ({"length": 2**63}, "cannot have a length"),
        ({"length": 5}, "5 bytes make 1 pieces of 32768, but there are hashes for 4"),
        ({"length": 2**62}, "are more than"),
        ({"length": 0}, "but there are hashes for 4"),
        ({"name": None}, "no name"),
        ({"name": 5}, "no name"),
        ({"name": [b"a"]}, "no name"),
        ({"piece_length": None}, "no piece length"),
        ({"piece_length": b"16384"}, "no piece length"),
        ({"piece_length": 0}, "piece length of 0 bytes"),
        ({"piece_length": -16384}, "piece length of -16384 bytes"),
        ({"piece_length": 2**40}, "piece length of"),
        ({"pieces": None}, "no piece hashes"),
        ({"pieces": 5}, "no piece hashes"),
        ({"pieces": b"x" * 79}, "not a multiple of 20"),
        ({"pieces": b"x" * 60}, "hashes for 3"),
        ({"pieces": b""}, "hashes for 0"),
        ({"files": [{b"length": 1, b"path": [b"a"]}]}, "both a length and a list of files"),
        ({"length": None, "files": []}, "list of files"),
        ({"length": None, "files": {}}, "list of files"),
        ({"length": None, "files": b"x"}, "list of files"),
        ({"length": None, "files": [5]}, "file 1 is not a dictionary"),
        ({"length": None, "files": [{b"path": [b"a"]}]}, "file 1 has no length"),
        ({"length": None, "files": [{b"length": 5}]}, "file 1 has no path"),
        ({"length": None, "files": [{b"length": 5, b"path": []}]}, "file 1 has no path"),
        ({"length": None, "files": [{b"length": 5, b"path": b"a"}]}, "file 1 has no path"),
        ({"length": None, "files": [{b"length": 5, b"path": [5]}]}, "path of file 1"),
        ({"length": None, "files": [{b"length": 5, b"path": [[b"a"]]}]}, "path of file 1"),
        ({"length": None, "files": [{b"length": -5, b"path": [b"a"]}]}, "file 1 cannot have a length of -5"),
        ({"length": None, "files": [{b"length": 2**61, b"path": [b"a"]}] * 3}, "too large to be true"),
        ({"length": None, "files": [{b"length": 5, b"path": [b"a"] * 200}]}, "folders deep"),
        ({"length": None, "files": [{b"length": 0, b"path": [b"a"], b"attr": b"l"}]}, "symbolic links only"),
        (
            {"length": None, "files": [{b"length": 5, b"path": [b"a"], b"attr": b"l"}]},
            "symbolic link with a length",
        ),
    ],
)
def test_a_torrent_that_is_not_valid_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(MetainfoError, match=reason) as caught:
        parse(info(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ({b"announce": 5}, "announce URL is not a string"),
        ({b"announce-list": b"http://a"}, "announce-list is not a list"),
        ({b"announce-list": [[5]]}, "no URL"),
        ({b"url-list": 5}, "url-list"),
        ({b"url-list": [[b"http://a"]]}, "no URL"),
    ],
)
def test_trackers_of_the_wrong_type_are_refused(top: dict[bytes, Any], reason: str) -> None:
    with pytest.raises(MetainfoError, match=reason):
        Metainfo.parse(encode({b"info": info(), **top}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"le",
        b"de",
        b"d4:infolee",
        b"d4:infoi5ee",
        b"d4:infode",
        b"d4:infodee",
        b"d4:info" * 2,
    ],
)
def test_what_is_no_torrent_is_refused(raw: bytes) -> None:
    with pytest.raises(MetainfoError):
        Metainfo.parse(raw)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(MetainfoError, match="bytes after the end"):
        Metainfo.parse(encode({b"info": info()}) + b"\n")


def test_megabytes_of_nesting_are_refused_at_once() -> None:
    with pytest.raises(MetainfoError, match="nested deeper"):
        Metainfo.parse(b"d4:info" + b"l" * (32 * 1024 * 1024))
    with pytest.raises(MetainfoError, match="are more than"):
        Metainfo.parse(b"l" * (100 * 1024 * 1024))


def test_number_of_files_and_pieces_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torrents, "MAX_FILES", 3)
    with pytest.raises(MetainfoError, match="4 files are more than 3"):
        parse(folder(*[file(1, b"%d" % number) for number in range(4)]))
    monkeypatch.setattr(torrents, "MAX_PIECES", 3)
    with pytest.raises(MetainfoError, match="4 pieces are more than 3"):
        parse(info())


def test_paths_cannot_leave_the_folder() -> None:
    torrent = parse(
        folder(
            file(1, b"..", b"..", b"etc", b"passwd"),
            file(1, b"/etc/shadow"),
            file(1, b"a", b"..", b"..", b"b"),
            file(1, b".."),
            file(1, b"C:\\windows\\x"),
            file(1, b"nul\x00byte"),
            name=b"../../outside",
        )
    )
    assert torrent.name == "....outside"
    assert [entry.path for entry in torrent.files] == [
        ("_", "_", "etc", "passwd"),
        ("etcshadow",),
        ("a", "_", "_", "b"),
        ("_.1",),
        ("C:windowsx",),
        ("nul_byte",),
    ]


@pytest.mark.parametrize("name", [b"", b".", b"..", b"/", b"//\\", b"\x00", b"\xe2\x80\x8e"])
def test_a_torrent_whose_name_has_nothing_in_it_is_named_by_its_hash(name: bytes) -> None:
    torrent = parse(info(name=name))
    assert torrent.name == str(torrent.info_hash)


def test_a_torrent_may_be_called_underscore() -> None:
    assert parse(info(name=b"_")).name == "_"


def test_names_that_collide_are_numbered() -> None:
    torrent = parse(
        folder(file(1, b"a.txt"), file(1, b"A.TXT"), file(1, b"a.txt"), file(1, b"x"), file(1, b"x", b"y"))
    )
    assert [entry.path for entry in torrent.files] == [
        ("a.txt",),
        ("A.1.TXT",),
        ("a.2.txt",),
        ("x.1",),
        ("x", "y"),
    ]


def test_names_equal_but_for_case_stay_where_asked() -> None:
    raw = encode({b"info": folder(file(1, b"README"), file(1, b"readme"))})
    assert [entry.path for entry in Metainfo.parse(raw, is_own=True).files] == [
        ("README",),
        ("readme",),
    ]


def test_magnet_link_has_hash_name_trackers_and_web_seeds() -> None:
    torrent = parse(info(name=b"a b"), announce_list=[[b"http://t/a", b"udp://u:1"]], url_list=b"http://w/")
    assert torrent.magnet() == (
        f"magnet:?xt=urn:btih:{torrent.info_hash}&dn=a%20b&tr=http%3A%2F%2Ft%2Fa&tr=udp%3A%2F%2Fu%3A1"
        "&ws=http%3A%2F%2Fw%2F"
    )


def test_a_torrent_is_an_immutable_value() -> None:
    torrent = parse(info())
    assert torrent == parse(info())
    assert hash(torrent) == hash(parse(info()))
    with pytest.raises(AttributeError):
        torrent.name = "other"  # type: ignore[misc]
