"""Each fuzz target under its corpus, under everything that was ever found, and under changed good messages.

`tools/fuzz` runs the same targets for as long as one likes, guided by coverage.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

CORPUS_FILES = [(target, name, raw) for target in TARGETS.values() for name, raw in target.corpus()]

edits = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.binary(max_size=4) | st.sampled_from([b"i-1e", b"0:", b"le", b"de", b"\xff" * 4, b"\0" * 4]),
        st.integers(0, 4),
    ),
    max_size=5,
)


def changed(raw: bytes, changes: list[tuple[int, bytes, int]], tail: bytes) -> bytes:
    """`raw` with bytes put in and taken out."""
    for at, inserted, cut in changes:
        at %= len(raw) + 1
        raw = raw[:at] + inserted + raw[at + cut :]
    return raw + tail


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_good_messages_keep_the_invariant(target: Target) -> None:
    for seed in target.seeds:
        target.check(seed)


@pytest.mark.parametrize(
    ("target", "raw"),
    [(target, raw) for target, _, raw in CORPUS_FILES],
    ids=[f"{target.name}/{name}" for target, name, _ in CORPUS_FILES],
)
def test_corpus_keeps_the_invariant(target: Target, raw: bytes) -> None:
    target.check(raw)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_any_bytes_keep_the_invariant(target: Target) -> None:
    good = st.sampled_from([*target.seeds, *(raw for _, raw in target.corpus())])

    @settings(max_examples=40, deadline=None)
    @given(st.builds(changed, good, edits, st.binary(max_size=3)) | st.binary(max_size=200))
    def check(raw: bytes) -> None:
        target.check(raw)

    check()


def test_every_corpus_folder_has_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
