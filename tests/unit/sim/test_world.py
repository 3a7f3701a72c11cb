"""Virtual time."""

from __future__ import annotations

from swarm.sim.world import World


def test_things_happen_in_order_of_time_then_of_planning() -> None:
    world = World(0)
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, world.now))

    world.at(2.0, note, "late")
    world.at(1.0, note, "first")
    world.at(1.0, note, "second")
    assert world.run(5.0, 100)
    assert seen == [("first", 1.0), ("second", 1.0), ("late", 2.0)]
    assert world.now == 5.0


def test_what_is_over_happens_now() -> None:
    world = World(0)
    seen: list[float] = []
    world.at(3.0, lambda: world.at(1.0, lambda: seen.append(world.now)))
    world.run(10.0, 100)
    assert seen == [3.0]


def test_run_says_whether_it_came_to_its_end() -> None:
    world = World(0)
    for _ in range(5):
        world.after(1.0, lambda: None)
    assert not world.run(10.0, 3)
    assert world.run(10.0, 3)


def test_stop_lets_nothing_more_happen() -> None:
    world = World(0)
    seen: list[int] = []
    world.at(1.0, world.stop)
    world.at(2.0, seen.append, 1)
    assert not world.run(10.0, 100)
    assert not seen
    world.run(10.0, 100)
    assert seen == [1]


def test_each_purpose_has_its_own_chance() -> None:
    one, same, other = World(1), World(1), World(2)
    one.rng("something else").random()
    assert one.rng("links").random() == same.rng("links").random()
    assert one.rng("links").random() != one.rng("disks").random()
    assert one.rng("links").random() != other.rng("links").random()
