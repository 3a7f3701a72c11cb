"""`base.dataclass`: what the standard library makes, later."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pytest

from swarm.base.dataclass import dataclass


@dataclass(slots=True)
class Point:
    """Somewhere."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    seen: list[int] = dataclasses.field(default_factory=list)

    @property
    def sum(self) -> int:
        return self.x + self.y


@dataclass(frozen=True, slots=True)
class Fixed:
    x: int
    double: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.x)


@dataclass(frozen=True, slots=True)
class FixedChild(Fixed):
    z: int = 5


def test_it_is_made_as_the_standard_library_makes_it() -> None:
    point = Point(1, seen=[7])

    assert (point.x, point.y, point.seen, point.sum, Point.kind) == (1, 2, [7], 3, "point")
    assert repr(point) == "Point(x=1, y=2, seen=[7])"
    assert point == Point(1, 2, [7]) != Point(1, 2, [8])
    assert Point(1).seen is not Point(1).seen
    assert not hasattr(point, "__dict__")
    assert Point.__doc__ == "Somewhere."


def test_wrong_arguments_are_refused_in_the_usual_words() -> None:
    make: Any = Point

    with pytest.raises(TypeError, match=r"Point\.__init__\(\) missing 1 required positional argument: 'x'"):
        make()


def test_what_may_change_is_no_key_and_what_is_fixed_is() -> None:
    assert len({Fixed(1), Fixed(1), Fixed(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


def test_fixed_fields_cannot_be_set_or_deleted() -> None:
    fixed: Any = Fixed(1)

    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        fixed.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        del fixed.x
    assert (fixed.x, fixed.double) == (1, 2)


def test_a_child_has_its_parents_fields_first() -> None:
    child = FixedChild(1, 6)

    assert (child.x, child.double, child.z) == (1, 2, 6)
    assert FixedChild.__match_args__ == ("x", "z")
    assert repr(child) == "FixedChild(x=1, double=2, z=6)"


def test_another_class_with_equal_fields_is_not_equal() -> None:
    @dataclass(slots=True)
    class Vector:
        x: int
        y: int = 2

    @dataclass(slots=True)
    class Size:
        x: int
        y: int = 2

    vector, others = Vector(1), [Size(1), (1, 2), Vector(2)]

    assert vector == Vector(1)
    assert vector not in others


def test_fields_may_be_left_out_of_comparisons_and_of_what_is_shown() -> None:
    @dataclass(slots=True)
    class Timed:
        x: int
        seconds: float = dataclasses.field(default=0.0, compare=False, repr=False)

    assert Timed(1, 2.0) == Timed(1, 3.0) != Timed(2, 2.0)
    assert repr(Timed(1, 2.0)).endswith("Timed(x=1)")


def test_patterns_and_the_functions_for_dataclasses_see_the_fields() -> None:
    match Point(1, 3):
        case Point(x, y):
            assert (x, y) == (1, 3)
    point = dataclasses.replace(Point(1), y=9)
    assert dataclasses.asdict(point) == {"x": 1, "y": 9, "seen": []}
    assert [field.name for field in dataclasses.fields(Fixed)] == ["x", "double"]


def test_the_constructor_is_made_when_it_is_needed() -> None:
    @dataclass(slots=True)
    class Unused:
        x: int

    before = Unused.__dict__["__init__"]
    Unused(1)

    assert type(before).__name__ == "_Later"
    assert type(Unused.__dict__["__init__"]).__name__ == "function"


@pytest.fixture(scope="module")
def many() -> Any:
    """A class of forty fields, as settings are."""
    names = [f"field_{number}" for number in range(38)]
    kinds = {"first": "int", **dict.fromkeys(names, "int"), "last": "list[int]"}
    body: dict[str, Any] = {"__annotations__": kinds} | {name: number for number, name in enumerate(names)}
    body |= {
        "last": dataclasses.field(default_factory=list),
        "__post_init__": lambda self: self.last.append(self.first),
    }
    return dataclass(frozen=True, slots=True)(type("Many", (), body))


def test_a_class_of_many_fields_is_made_alike(many: Any) -> None:
    made = many(1, 2, field_37=3)

    assert (made.first, made.field_0, made.field_1, made.field_37, made.last) == (1, 2, 1, 3, [1])
    assert many(1).last is not many(1).last
    assert many(1) == many(1) != many(2)
    assert dataclasses.replace(many(2), last=[], first=1) == many(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="'first'"):
        made.first = 2


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1,), {"first": 1}), ((1,), {"other": 1}), ((0,) * 41, {})]
)
def test_a_class_of_many_fields_refuses_wrong_arguments(
    many: Any, values: tuple[int, ...], named: dict[str, int]
) -> None:
    with pytest.raises(TypeError, match=r"Many\.__init__\(\) "):
        many(*values, **named)
