"""What `import swarm` gives to programs."""

from __future__ import annotations

import pytest

import swarm


def test_every_public_name_is_found_and_documented() -> None:
    for name in swarm.__all__:
        assert hasattr(swarm, name), name
        assert name.startswith("__") or getattr(swarm, name).__doc__, name


def test_names_that_are_listed_are_those_that_have_a_place() -> None:
    assert {*swarm._PLACES, "__version__"} == set(swarm.__all__) <= set(dir(swarm))


def test_name_that_is_none_of_ours_is_an_attribute_error() -> None:
    name = "TorrentSession"
    assert not hasattr(swarm, name)
    with pytest.raises(AttributeError, match="has no attribute 'TorrentSession'"):
        getattr(swarm, name)
