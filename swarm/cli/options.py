"""Types of options; options shared by commands; and each option as an environment variable."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.endpoint import parse_host_port
from swarm.base.units import parse_size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class Option(click.Option):
    """An option that `SWARM_<OPTION>` can set too (`--max-peers` is `SWARM_MAX_PEERS`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        long_names = [name for name in self.opts if name.startswith("--")]
        if self.envvar is None and long_names:
            self.envvar = "SWARM_" + long_names[0].removeprefix("--").upper().replace("-", "_")


def option(*args: Any, **kwargs: Any) -> Callable[[_Decorated], _Decorated]:
    """As `click.option`, for an `Option`."""
    return click.option(*args, cls=kwargs.pop("cls", Option), **kwargs)


def options_as(
    name: str, kind: type[Any], options: Sequence[Callable[..., Any]]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `options`, whose values it gets as one argument `name`: a dataclass of type `kind`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def packed(**values: Any) -> None:
            values[name] = kind(**{field: values.pop(field) for field in kind.__match_args__})
            command(**values)

        decorated: Callable[..., None] = packed
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


class Text(click.ParamType[str]):
    """A text that says something. An empty one is a variable of a script that was not set, most likely."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text:
            self.fail("it is empty", param, ctx)
        return text


class Size(click.ParamType[int]):
    """A size such as `500K`, `4M` or `1.5G`, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Rate(Size):
    """A rate in bytes a second, at least a block: with less no piece would arrive in time."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        rate = super().convert(value, param, ctx)
        if rate < BLOCK_BYTES:
            self.fail(f"at least {BLOCK_BYTES >> 10}K; leave the option out for no limit", param, ctx)
        return rate


class Whole(click.IntRange):
    """A whole number in a range."""

    name = "whole number"


class Number(click.FloatRange):
    """A number in a range. click lets `nan` into any range, though no time or ratio ever reaches it."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class FileName(click.ParamType[Any]):
    """A file or folder, which shells complete; whoever opens it finds out whether it can be read.

    An empty name is refused here: some calls of the system take it for this folder.

    Args:
        kind: what it becomes, str or Path.
    """

    name = "file"

    def __init__(self, kind: Callable[[str], Any] = str) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty", param, ctx)
        return self._kind(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class HostPort(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`, as (host, port)."""

    name = "host:port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        try:
            return parse_host_port(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


#: `--bind` of the commands that talk to others.
bind_option = option(
    "--bind",
    type=Text(),
    metavar="ADDR|INTERFACE",
    help="All traffic leaves from this address or through this interface (names are looked up as the "
    "system does it).",
)

#: `-t N` of the commands that hash.
threads_option = option(
    "-t",
    "--threads",
    type=Whole(min=0),
    default=0,
    metavar="N",
    help="Hashing threads (default: all cores).",
)
