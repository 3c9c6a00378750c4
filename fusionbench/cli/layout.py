"""``fusionbench leaderboard --layout``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.cli.options import boards_of
from fusionbench.cli.spelling import say
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.cli.table_options import Form, Selection


def print_layout(selection: Selection, form: Form, out: Path, name: str) -> None:
    """Print a paper's table, filled with what is here.

    Raises:
        FusionbenchError: no such layout, an option that it does not take, or a dataset that has no results.
    """
    from fusionbench.report.entry_names import entry_ids
    from fusionbench.report.filling import Filler, boards_for
    from fusionbench.report.layout_formats import layout_text
    from fusionbench.report.layouts import layout
    from fusionbench.report.writing import write_text
    from fusionbench.results.store import Store

    name, chosen = layout(name)
    unfit = {"--metrics": selection.metrics, "--profile": selection.profile, "--ci": form.ci, "--ties": form.ties}
    for option, given in unfit.items():
        if given:
            raise FusionbenchError(f"--layout {name}: it has its own columns; leave {option} out")
    kind, values = "md" if form.chosen() == "table" else form.chosen(), form.values()
    if kind in ("html", "xlsx"):
        raise FusionbenchError(f"--layout {name}: not as {kind}; take md, latex, csv or json")
    if not out.exists() and not selection.datasets:
        filled = Filler(None, out, *boards_for(chosen, (), ()), values=values).fill(name, chosen)
    else:
        with Store(out, create=False) as store:
            boards = boards_of(store, selection.datasets, selection.split, selection.output_rule)
            entries = [e for rule in {b.output for b in boards} for e in store.entries(rule).values()]
            only = frozenset(entry_ids(selection.methods, entries, str(store.path), "--methods"))
            fitting = boards_for(chosen, selection.datasets, boards)
            filled = Filler(store, out, *fitting, only=only, values=values).fill(name, chosen)
    text = layout_text(filled, kind, form.published is not None)
    if form.output is None:
        say(text, nl=False)
    else:
        write_text(form.output, text)
        say(str(form.output), err=True)
