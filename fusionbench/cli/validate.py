"""``fusionbench validate``."""

from __future__ import annotations

import json
import sys

import click

from fusionbench.cli.options import PLURALS, any_name, as_json, plugins
from fusionbench.cli.spelling import say, spelt
from fusionbench.cli.words import OneOf
from fusionbench.plugins.cards import KINDS


@click.command("validate")
@click.argument("plugin", shell_complete=any_name)
@click.option("--kind", type=OneOf(KINDS, PLURALS), help="When two plugins of different kinds share a name.")
@as_json
def validate_command(plugin: str, kind: str | None, json_: bool) -> None:
    """Run the plugin contract on one plugin: the same checks our own plugins pass. Exit code 1 when one fails.

    For a plugin of yours: fusionbench --plugins DIR validate NAME
    """
    from fusionbench.evaluation.contract import validate

    chosen = plugins(plugin, kind)
    reports = [validate(c) for c in chosen]
    if json_:
        say(
            json.dumps(
                [{"kind": r.card.kind, "name": r.card.name, "ok": r.ok, "checks": r.rows} for r in reports], indent=1
            )
        )
    else:
        for r in reports:
            say(f"{r.card.kind} {r.card.name} ({r.card.path})")
            for name, state, detail in r.rows:
                say(f"  {state:<4}  {name}" + (f": {spelt(detail)}" if detail else ""))
    if not all(r.ok for r in reports):
        sys.exit(1)
