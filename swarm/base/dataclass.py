"""The standard library's `dataclass` for programs that must start fast (decision 006).

A command loads a hundred dataclasses before its first packet leaves. For each, the standard library writes
and compiles four to seven functions when the class statement runs, which takes 0.25 to 0.5 ms. Here only
`__init__` is compiled, and only when the first object is made; the other methods are closures, as they need
not be fast.

Read `from swarm.base.dataclass import dataclass` as `from dataclasses import dataclass`; type checkers do.
Slots (always), `frozen`, `field`, `ClassVar`, `__post_init__`, inheritance, and the functions of
`dataclasses` (`fields`, `replace`, `asdict`) behave as there. Options that nobody here uses are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass

#: An `__init__` of more fields is not compiled but loops: see `_looped_init`.
_WRITTEN_FIELDS_MAX = 24


def _dataclass(*, slots: bool, frozen: bool = False) -> Callable[[type], type]:
    assert slots, "every dataclass here has slots"

    def decorate(body: type) -> type:
        own = [name for name, kind in body.__annotations__.items() if not str(kind).startswith("ClassVar")]
        defaults: dict[str, Any] = {}
        for base in reversed(body.__mro__[1:]):
            defaults |= base.__dict__.get("_field_defaults", {})
        defaults |= {name: body.__dict__.get(name, MISSING) for name in own}
        parts: dict[str, Any] = {
            "_field_defaults": defaults,
            "__slots__": tuple(own),
            "__match_args__": tuple(name for name, given in defaults.items() if _field(given).init),
            "__init__": _Later(lambda made: _init_of(made, defaults, frozen)),
            "__dataclass_fields__": _Later(lambda _: _standard(body, frozen).__dataclass_fields__),
            "__dataclass_params__": _Later(lambda _: _standard(body, frozen).__dataclass_params__),
            **_comparisons(defaults, frozen),
        }
        # A slot is a class attribute of the field's name, so the field's default cannot be one as well.
        return _copy(body, parts | {name: part for name, part in _parts(body).items() if name not in own})

    return decorate


class _Later:
    """A class attribute that is made when it is first asked for, and then takes the place of this object."""

    def __init__(self, make: Callable[[type], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, instance: object | None, kind: type) -> Any:
        setattr(self._owner, self._name, self._make(self._owner))
        return getattr(kind if instance is None else instance, self._name)


def _field(given: Any) -> Field[Any]:
    return given if isinstance(given, Field) else dataclasses.field(default=given)


def _init_of(made: type, defaults: dict[str, Any], frozen: bool) -> Callable[..., None]:
    init = (_written_init if len(defaults) <= _WRITTEN_FIELDS_MAX else _looped_init)(made, defaults, frozen)
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _looped_init(made: type, defaults: dict[str, Any], _frozen: bool) -> Callable[..., None]:
    """An `__init__` for many fields, above all of settings: to compile it would cost more than its calls."""
    fields = {name: field for name, given in defaults.items() if (field := _field(given)).init}

    def init(self: object, *values: Any, **named: Any) -> None:
        given = dict(zip(fields, values, strict=False))
        if len(values) > len(fields) or given.keys() & named.keys() or named.keys() - fields.keys():
            raise TypeError(f"{init.__qualname__}() got an argument twice, or one that it does not have")
        given |= named
        for name, field in fields.items():
            if name in given:
                value = given[name]
            elif field.default_factory is not MISSING:
                value = field.default_factory()
            elif field.default is not MISSING:
                value = field.default
            else:
                raise TypeError(f"{init.__qualname__}() missing 1 required positional argument: {name!r}")
            object.__setattr__(self, name, value)
        if hasattr(made, "__post_init__"):
            self.__post_init__()  # type: ignore[attr-defined]

    return init


def _written_init(made: type, defaults: dict[str, Any], frozen: bool) -> Callable[..., None]:
    """An `__init__` as the standard library would write it: one statement for each field."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_MISSING": MISSING}
    parameters = ["self"]
    statements = []
    for name, given in defaults.items():
        field, value = _field(given), name
        if not field.init:  # `__post_init__` sets it
            continue
        if field.default_factory is not MISSING:
            scope[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_MISSING")
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        elif field.default is not MISSING:
            scope[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        statements.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        statements.append("self.__post_init__()")
    exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(statements or ["pass"]), scope)
    init: Callable[..., None] = scope["__init__"]
    return init


def _comparisons(defaults: dict[str, Any], frozen: bool) -> dict[str, Any]:
    compared = [name for name, given in defaults.items() if _field(given).compare]
    shown = [name for name, given in defaults.items() if _field(given).repr]
    values = attrgetter(*compared) if compared else lambda _self: ()

    def eq(self: object, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def described(self: object) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{self.__class__.__qualname__}({fields})"

    if not frozen:
        # Not hashable, as it may change.
        return {"__eq__": eq, "__repr__": described, "__hash__": None}
    return {
        "__eq__": eq,
        "__repr__": described,
        "__hash__": lambda self: hash(values(self)),
        "__setattr__": _refuse,
        "__delattr__": _refuse,
    }


def _refuse(_self: object, name: str, *_value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _standard(body: type, frozen: bool) -> Any:
    """What the standard library makes of the same class body; for `fields` and the like."""
    return dataclasses.dataclass(frozen=frozen)(_copy(body, _parts(body)))


def _parts(body: type) -> dict[str, Any]:
    """What the class body has defined."""
    return {name: part for name, part in body.__dict__.items() if name not in ("__dict__", "__weakref__")}


def _copy(body: type, parts: dict[str, Any]) -> type:
    copy: type = type(body)(body.__name__, body.__bases__, parts | {"__qualname__": body.__qualname__})
    return copy


if not TYPE_CHECKING:
    dataclass = _dataclass
