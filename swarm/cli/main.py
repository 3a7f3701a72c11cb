"""The `swarm` command: finds the subcommand, and turns every error into one line and an exit status."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

import click

from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError
from swarm.cli.output import Output, printable

#: Exit statuses, the same for every command (docs: cli.md).
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_A_TORRENT = 3
EXIT_DISK = 4
EXIT_NO_PROGRESS = 5
EXIT_MISMATCH = 6
EXIT_INTERRUPTED = 130

#: name -> one line for `swarm --help`; `swarm/cli/NAME.py` holds a click command called `command`.
#: Only the one that is used gets imported: a start-up costs what it needs.
COMMANDS = {
    "mktorrent": "Create a .torrent of a file or folder.",
    "seed": "Offer content to the swarm.",
    "leech": "Download torrents, with progress bars.",
    "tracker": "Run a tracker that lists the swarm's members.",
    "show": "Show what is in a .torrent or a magnet link.",
    "verify": "Compare content on disk with its .torrent.",
    "magnet": "Print the magnet link of a .torrent.",
    "edit": "Change trackers, comment and the like; the info-hash stays.",
    "scrape": "Ask the trackers how many seeds and leechers there are.",
    "dht": "Ask the distributed hash table, or give others a way into it.",
    "simulate": "Run a swarm in virtual time, and measure it.",
    "completions": "Print the completion script for a shell.",
}


#: Ends the process with a status.
Leave: TypeAlias = Callable[[int], NoReturn]


class ExitWith(Exception):
    """End the command with `status`, after what it had to say was said."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"swarm.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No such command '{printable(args[0])}'.{hint}", ctx) from None


def _version() -> str:
    from importlib.metadata import version

    return version("swarm-bt")


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"swarm {_version()}")
        ctx.exit()


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
def swarm() -> None:
    """Move big files between many machines with BitTorrent."""


def exit_status(error: SwarmError) -> int:
    """The exit status that `error` means to scripts."""
    match error:
        case MetainfoError():
            return EXIT_NOT_A_TORRENT
        case StorageError():
            return EXIT_DISK
        case SettingsError():
            return EXIT_USAGE
        case _:
            return EXIT_FAILED


def _run(command: click.Command, name: str, arguments: Sequence[str]) -> int:
    try:
        command.main(args=list(arguments), prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        error.show()
        return EXIT_USAGE
    except click.ClickException as error:
        error.show()
        return EXIT_FAILED
    except ExitWith as ended:
        return ended.status
    except SwarmError as error:
        Output(is_json="--json" in arguments).error(str(error))
        return exit_status(error)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our stdout has gone; there is nobody left to tell.
        sys.stderr.close()
        return EXIT_FAILED
    return EXIT_DONE


def _exit(status: int, leave: Leave) -> NoReturn:
    """Flush what was said, and leave; where stdout cannot take it (a full disk), that is an error as ever."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # A second flush at interpreter exit would complain about the same pipe.
        sys.stdout = None
    if sys.stderr is not None and not sys.stderr.closed:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
    leave(status)


def _occupy_standard_descriptors() -> None:
    """Where 0, 1 or 2 are closed, a file of the content would get the number, and what is said into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Python has none where the descriptor was closed; a line said to nobody is no error.
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode))


# By default both leave by `os._exit`: taking the interpreter apart is 6 to 18 ms of each command, and nothing
# waits for it. When a command has returned, its session, sockets and files are closed, `asyncio.Runner` has
# joined the threads of the loop, those of our own are daemons and so would be cut off anyway, and no code of
# ours registers with `atexit`. An unexpected exception does not come here, and shows its traceback.


def main(leave: Leave = os._exit) -> NoReturn:
    """Entry point of `swarm`; who has more to do in this process gives `sys.exit`."""
    _occupy_standard_descriptors()
    _exit(_run(swarm, "swarm", sys.argv[1:]), leave)


def mktorrent_main(leave: Leave = os._exit) -> NoReturn:
    """Entry point of `mktorrent`; as `main`."""
    from swarm.cli.mktorrent import command

    _occupy_standard_descriptors()
    _exit(_run(command, "mktorrent", sys.argv[1:]), leave)
