"""``fusionbench completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from fusionbench.cli.spelling import say
from fusionbench.cli.words import OneOf


@click.command("completion")
@click.argument("shell", type=OneOf(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell; names of methods, metrics and datasets are completed too.

    bash: eval "$(fusionbench completion bash)"   zsh: the same with zsh   fish: fusionbench completion fish | source
    """
    from fusionbench.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None  # click knows all three
    # The template only: generating it through the class would start bash to ask for its version.
    maker = kind(cli, {}, "fusionbench", "_FUSIONBENCH_COMPLETE")
    say(kind.source_template % maker.source_vars())
