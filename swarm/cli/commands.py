"""The `swarm` command: it finds the subcommand, and turns every error into one line and an exit status."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from swarm.base.errors import SwarmError
from swarm.base.version import VERSION
from swarm.cli.exits import (
    EXIT_DISK,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    ExitWith,
    exit_status,
    is_unwritten,
)
from swarm.cli.loading import loading
from swarm.cli.output import Output, printable

#: Name -> its line in `swarm --help`. The click command is `command` in `swarm/cli/NAME.py`; only the one
#: that is used is imported (decision 006).
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


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with loading():
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


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"swarm {VERSION}")
        ctx.exit()


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
              help="Show the version and exit.")  # fmt: skip
def swarm() -> None:
    """Move big files between many machines with BitTorrent."""


def _is_json(arguments: Sequence[str]) -> bool:
    """Is `--json` given, as click would read the option and its environment variable?"""
    named = os.environ.get("SWARM_JSON", "").strip().lower()
    return "--json" in arguments or named in ("1", "t", "true", "y", "yes", "on")


def run(command: click.Command, name: str, arguments: Sequence[str]) -> int:
    """Run `command`, and print what went wrong; returns the exit status.

    Args:
        name: as it is called in usage errors.
    """
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
        Output(is_json=_is_json(arguments)).error(str(error))
        return exit_status(error)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except UnicodeEncodeError as error:
        from swarm.storage.faults import name_error

        Output(is_json=_is_json(arguments)).error(str(name_error(error, error.object)))
        return EXIT_DISK
    except BrokenPipeError:
        # The reader of our stdout is gone: there is nobody left to tell.
        sys.stderr.close()
        return EXIT_FAILED
    except OSError as error:
        if error.filename is None and not is_unwritten(error):
            raise
        return say_disk_error(error)
    return EXIT_DONE


def say_disk_error(error: OSError) -> int:
    """Print what the disk refused, on stderr, as stdout may be what is full; returns the exit status."""
    from swarm.storage.faults import storage_error

    Output().error(str(storage_error(error, error.filename or "standard output")))
    return EXIT_DISK
