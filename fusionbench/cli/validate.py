"""``fusionbench validate``."""

from __future__ import annotations

import json
import sys

import click

from fusionbench.cli.options import any_name, as_json
from fusionbench.cli.spelling import say, spelt
from fusionbench.errors import PluginError
from fusionbench.plugins.cards import KINDS, cards, did_you_mean


@click.command("validate")
@click.argument("plugin", shell_complete=any_name)
@click.option("--kind", type=click.Choice(KINDS), help="When two plugins of different kinds share a name.")
@as_json
def validate_command(plugin: str, kind: str | None, json_: bool) -> None:
    """Run the plugin contract on one plugin: the same checks our own plugins pass. Exit code 1 when one fails.

    For a plugin of yours: fusionbench --plugins DIR validate NAME
    """
    from fusionbench.evaluation.contract import validate

    chosen = [cards(k)[plugin] for k in KINDS if kind in (None, k) and plugin in cards(k)]
    if not chosen:
        raise PluginError(f"no plugin {plugin!r}; {did_you_mean(plugin, [n for k in KINDS for n in cards(k)])}")
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
