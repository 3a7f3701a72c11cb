"""Names made safe: libtorrent's test vectors, and what they leave out."""

from __future__ import annotations

import tracemalloc

import pytest

from swarm.metainfo.paths import decode_name, safe_part, safe_path, unique_paths, unportable_names


@pytest.mark.parametrize(
    ("elements", "path"),
    [
        # libtorrent test/test_torrent_info.cpp, sanitize_path*, with "force" as for files of a torrent.
        ([b"a", b"abc...", b"c"], "a/abc.../c"),
        ([b"abc."], "abc."),
        ([b"a. . ."], "a. . ."),
        ([b"a", b"abc   ", b"c"], "a/abc   /c"),
        ([b""], "_"),
        ([b"/a/", b"b", b"c"], "a/b/c"),
        ([b"a...b"], "a...b"),
        ([b"a", b"..", b"c"], "a/_/c"),
        ([b"a", b".."], "a/_"),
        ([b"/..", b".", b"c"], "_/_/c"),
        ([b"dev:"], "dev:"),
        ([b"c:", b"b"], "c:/b"),
        ([b"c:", b".", b"c"], "c:/_/c"),
        ([b"\\c", b".", b"c"], "c/_/c"),
        ([b"\b"], "_"),
        ([b"\b", b"filename"], "_/filename"),
        ([b"filename", b"\b"], "filename/_"),
        ([b"abc", b""], "abc/_"),
        ([b"abc", b"   "], "abc/   "),
        ([b"", b"abc"], "_/abc"),
        ([b"\b?filename=4"], "_?filename=4"),
        ([b"filename\xc2\xa1"], "filename¡"),
        ([b"filename\xc2"], "filename_"),
        ([b"filename\xe2\x9f\xb9"], "filename⟹"),
        ([b"filename\xe2\x9f"], "filename_"),
        ([b"filename\xf0\x9f\x92\x88"], "filename💈"),
        ([b"filename\xf0\x9f\x92"], "filename_"),
        ([b"filename\xf8\x9f\x9f\x9f\x9ffoobar"], "filename_foobar"),
        ([b"filename\xc0\xae"], "filename_"),
        ([b"filename\xe0\x80\xae"], "filename_"),
        ([b"filename\xf0\x80\x80\xae"], "filename_"),
        ([b"//\\"], "_"),
        ([b"foo\x7fbar"], "foo_bar"),
        (["foo\u0080bar".encode()], "foo_bar"),
        (["foo\u009fbar".encode()], "foo_bar"),
        *(
            ([f"foo{mark}bar".encode()], "foobar")
            for mark in "\u200b\u200c\u200d\u200e\u202b\u2060\u2062\u2066\u2069\u061c\ufeff"
        ),
        # Ours.
        ([b"..", b".."], "_/_"),
        ([".\u200b.".encode()], "_"),
        ([b"a\x00b", b"c\nd", b"e\x1b[2Jf"], "a_b/c_d/e_[2Jf"),
        (["a\u2028b".encode()], "a_b"),
        ([b"..\\..\\x"], "....x"),
    ],
)
def test_path_is_made_safe_as_libtorrent_does(elements: list[bytes], path: str) -> None:
    assert "/".join(safe_path(map(decode_name, elements))) == path


def test_long_part_is_cut_at_a_character_and_keeps_its_extension() -> None:
    cut = safe_part("ä" * 200 + ".jpg")
    assert len(cut.encode()) <= 255
    assert cut.strip("ä") == ".jpg"
    assert len(safe_part("a" * 300)) <= 255
    assert len(safe_part("a" * 10 + "." + "b" * 300)) <= 255


def test_longest_part_that_a_file_system_takes_stays() -> None:
    assert safe_part("a" * 255) == "a" * 255
    assert safe_part("💈" * 63) == "💈" * 63


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1", "_com1"),
        ("lpt9.tar.gz", "_lpt9.tar.gz"),
        ("console", "console"),
        ("c:", "c_"),
        ('a<b>c"d|e?f*g', "a_b_c_d_e_f_g"),
        ("abc. . .", "abc"),
        ("...", "_"),
        ("..", "_"),
        ("plain", "plain"),
    ],
)
def test_windows_gets_no_reserved_names(text: str, part: str) -> None:
    assert safe_part(text, is_windows=True) == part


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467.jpg", "\U0001f468\u200d\U0001f469\u200d\U0001f467.jpg"),
        ("back\\slash", "back\\slash"),
        ("a\nb\u202e", "a\nb\u202e"),
        (".\u200d.", ".\u200d."),
        ("..", "_"),
        ("./.", "_"),
        ("/", "_"),
        ("../x", "..x"),
        ("", "_"),
        ("a\0b\udce9", "a_b_"),
    ],
)
def test_names_of_their_maker_stay_but_for_what_leads_out_of_the_folder(text: str, part: str) -> None:
    assert safe_part(text, is_own=True, is_windows=False) == part


def test_reserved_windows_names_are_names_elsewhere() -> None:
    assert safe_part("aux.c", is_windows=False) == "aux.c"


def paths(*texts: str) -> list[tuple[str, ...]]:
    return [tuple(text.split("/")) for text in texts]


def test_first_of_a_collision_keeps_its_name() -> None:
    assert unique_paths(paths("d/a.txt", "d/a.txt", "d/A.txt", "e/a.txt")) == paths(
        "d/a.txt", "d/a.1.txt", "d/A.2.txt", "e/a.txt"
    )


def test_number_is_not_one_that_another_file_has() -> None:
    assert unique_paths(paths("a", "a", "a.1", "A.2")) == paths("a", "a.3", "a.1", "A.2")


def test_file_gives_way_to_a_folder_of_its_name() -> None:
    assert unique_paths(paths("a", "A/b", "a.1/c")) == paths("a.2", "A/b", "a.1/c")


def test_hidden_file_is_numbered_at_its_end() -> None:
    assert unique_paths(paths(".rc", ".rc")) == paths(".rc", ".rc.1")


def test_folders_equal_but_for_case_may_stay() -> None:
    assert unique_paths(paths("A/x", "a/y")) == paths("A/x", "a/y")


def test_number_fits_a_name_of_full_length() -> None:
    for name in ("a" * 255, "a" * 251 + ".txt", "a." + "b" * 253, "ä" * 127):
        first, second, third = unique_paths(paths(name, name, name))
        assert len({first, second, third}) == 3
        assert len(third[0].encode()) <= 255


def test_names_that_sort_between_a_folder_and_its_files_hide_nothing() -> None:
    assert unique_paths(paths("a", "a b", "a!", "a-c/x", "a/b")) == paths("a.1", "a b", "a!", "a-c/x", "a/b")


def test_deep_folders_take_no_more_memory_than_their_names() -> None:
    deep = [(f"{number:020}", *["x" * 20] * 126) for number in range(400)]
    names_bytes = sum(len(part) + 1 for path in deep for part in path)
    tracemalloc.start()
    try:
        assert unique_paths(deep) == deep
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * names_bytes


def test_very_many_collisions_are_numbered_one_after_the_other() -> None:
    found = unique_paths(paths("a") * 20_000)
    assert len(set(found)) == 20_000
    assert found[-1] == ("a.19999",)


def test_unportable_names_are_found() -> None:
    names = [b"plain", b"d/back\\slash", b"latin\xe9", b"Same", b"d/same", b"same", "ü/ö".encode()]
    assert unportable_names(names) == [b"d/back\\slash", b"latin\xe9", b"same"]
    assert unportable_names(names, is_own=True) == [b"latin\xe9"]
