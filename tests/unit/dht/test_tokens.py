"""Write tokens: valid for their address and target, for five to ten minutes."""

from __future__ import annotations

import random

from swarm.dht.tokens import Tokens

HERE, THERE = bytes(4), b"\x01" * 4
TARGET, OTHER = b"t" * 20, b"o" * 20


def test_token_is_valid_for_its_address_and_target_only() -> None:
    tokens = Tokens(random.Random(1), 300.0, 0.0)
    token = tokens.token_for(HERE, TARGET, 0.0)
    assert tokens.is_valid(token, HERE, TARGET, 0.0)
    assert not tokens.is_valid(token, THERE, TARGET, 0.0)
    assert not tokens.is_valid(token, HERE, OTHER, 0.0)
    assert not tokens.is_valid(b"", HERE, TARGET, 0.0)
    assert not tokens.is_valid(token + b"x", HERE, TARGET, 0.0)


def test_token_outlives_one_rotation_and_not_two() -> None:
    tokens = Tokens(random.Random(1), 300.0, 0.0)
    token = tokens.token_for(HERE, TARGET, 299.0)
    assert tokens.is_valid(token, HERE, TARGET, 301.0)
    assert tokens.token_for(HERE, TARGET, 301.0) != token
    assert tokens.is_valid(token, HERE, TARGET, 590.0)
    assert not tokens.is_valid(token, HERE, TARGET, 700.0)


def test_token_is_over_after_long_sleep() -> None:
    tokens = Tokens(random.Random(1), 300.0, 0.0)
    token = tokens.token_for(HERE, TARGET, 0.0)
    assert not tokens.is_valid(token, HERE, TARGET, 1000.0)


def test_secrets_of_two_nodes_differ() -> None:
    one, two = Tokens(random.Random(1), 300.0, 0.0), Tokens(random.Random(2), 300.0, 0.0)
    assert one.token_for(HERE, TARGET, 0.0) != two.token_for(HERE, TARGET, 0.0)
