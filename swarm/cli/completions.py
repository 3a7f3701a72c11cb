"""`swarm completions`: a script by which a shell completes our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from swarm.base.errors import SwarmError

#: What click looks for in the environment when a shell asks `swarm` for completions.
_VARIABLE = "_SWARM_COMPLETE"


@click.command("completions")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash   eval "$(swarm completions bash)"          in ~/.bashrc
    zsh    eval "$(swarm completions zsh)"           in ~/.zshrc
    fish   swarm completions fish | source           in ~/.config/fish/config.fish
    """  # fmt: skip
    from swarm.cli.commands import swarm

    kind = get_completion_class(shell)
    assert kind is not None
    try:
        script = kind(swarm, {}, "swarm", _VARIABLE).source()
    except RuntimeError as error:
        # The installed bash is too old.
        raise SwarmError(str(error)) from None
    click.echo(script)
