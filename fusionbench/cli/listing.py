"""``fusionbench list`` and ``fusionbench show``: read cards, import no plugin."""

from __future__ import annotations

import json

import click
import msgspec

from fusionbench.cli.meanings import FURTHER, known_names, meanings
from fusionbench.cli.options import PLURALS, any_name, as_json, plugins, unknown
from fusionbench.cli.spelling import folded, retypable, say, spelt
from fusionbench.cli.variants import bounds, measured, variant_lines
from fusionbench.cli.words import OneOf
from fusionbench.counting import counted
from fusionbench.plugins.cards import (
    KINDS,
    Card,
    DatasetCard,
    MethodCard,
    MetricCard,
    TaskCard,
    cards,
    profiles,
)
from fusionbench.plugins.records import DatasetFacts, Facts, MethodFacts, MetricFacts, TaskFacts

WHAT = (*(f"{k}s" for k in KINDS), "profiles", "protocols")
ASKED = ("networks", "variants", "layouts")  # listed where they are asked for
SINGULAR = {f"{word}s": (word,) for word in (*KINDS, "profile", "protocol", "network", "variant", "layout")}


@click.command("list")
@click.argument("what", type=OneOf((*WHAT, *ASKED), SINGULAR), required=False)
@as_json
def list_command(what: str | None, json_: bool) -> None:
    """List methods (by family), metrics, datasets, tasks, profiles or protocols; all of them by default.

    networks, variants (of metrics) and layouts (of papers' tables) are listed where they are asked for.
    """
    from fusionbench.report.layouts import layouts

    tables: dict[str, dict[str, str]] = {}
    for name in [what] if what else WHAT:
        if name == "profiles":
            rows = {n: p.title for n, p in profiles().items()}
        elif name == "protocols":
            rows = {
                f"{p}@v{facts.version}": f"{c.title}, split {facts.split}, {counted(len(facts.metrics), 'metric')}"
                for c in cards("dataset").values()
                for p, facts in c.facts.protocols.items()
            }
        elif name == "networks":
            rows = {n: f"{c.name}: {c.facts.needs}" for c in cards("task").values() for n in c.facts.networks}
        elif name == "layouts":
            rows = {n: made.title for n, made in layouts().items()}
        elif name == "variants":
            every = cards("metric").items()
            rows = {f"{n}@{v}": variant.formula for n, c in every for v, variant in c.facts.variants.items()}
        else:
            rows = {n: c.summary for n, c in cards(name[:-1]).items()}
        tables[name] = rows
    if json_:
        click.echo(json.dumps(tables, indent=1))
        return
    for name, rows in tables.items():
        if not rows:
            continue
        say(f"{name}")
        if name == "methods":
            say(retypable("\n".join(_families(rows))))
            continue
        width = max(map(len, rows))
        for key, text in rows.items():
            say(folded(f"  {key:<{width}}  ", text))


def _families(rows: dict[str, str]) -> list[str]:
    """Methods below the name of their family, with the year; one without weights here has a mark."""
    from fusionbench.plugins.weights import installed

    known = cards("method")
    width = max(map(len, rows))
    lacking = [n for n in rows if known[n].facts.requires_weights and not installed(n, warn=False)]
    lines = []
    for family in sorted({known[n].facts.family for n in rows}, key=lambda f: (not f, f)):
        lines.append(f" {family or 'without a family'}")
        for name in (n for n in rows if known[n].facts.family == family):
            mark = "*" if name in lacking else " "
            lines.append(folded(f"  {name:<{width}}  {known[name].facts.year or '':<4}{mark} ", rows[name]))
    if lacking:
        lines.append("  * no weights here; `fusionbench show NAME` says where they are and how to add them")
    return lines


@click.command("show")
@click.argument("name", shell_complete=any_name)
@click.option("--kind", type=OneOf((*KINDS, *FURTHER), PLURALS), help="When things of different kinds share a name.")
@as_json
def show_command(name: str, kind: str | None, json_: bool) -> None:
    """Show what the card of a plugin says; for a metric, every variant.

    NAME may also be what tables and lists print: a variant (vif@cddfuse), a profile (tang), a protocol (vifb-fusion@v1,
    also with +profile=tang behind it), a task's network, an entry (refusion[ivif]), a rule (clip-round, per-channel).
    """
    chosen = plugins(name, kind, needed=False) if kind in (None, *KINDS) else []
    further = meanings(name, kind) if kind in (None, *FURTHER) else []
    if not chosen and not further:
        names = [n for k in KINDS for n in cards(k)]
        raise unknown(name, [*names, *known_names()])
    if json_:
        click.echo(json.dumps([*(c.data for c in chosen), *(m.plain() for m in further)], indent=1, default=str))
        return
    for entry in chosen:
        say(retypable(describe(entry)))
    for meaning in further:
        say(retypable(meaning.text()))


def describe(entry: Card[Facts]) -> str:
    """A card in words."""
    facts = entry.facts
    lines = [f"{entry.title} ({entry.kind} {entry.name}, version {entry.version})", entry.summary, ""]
    for label, value in (
        ("paper", ", ".join(str(text) for text in (facts.paper, facts.venue, facts.year) if text)),
        ("urls", " ".join(facts.urls)),
        ("licence", facts.licence),
        ("code", str(entry.source)),
    ):
        if value:
            lines.append(f"{label + ':':<10}{value}")
    lines += [f"option {name} = {option.default}: {option.help}" for name, option in entry.options.items()]
    if isinstance(facts, MetricFacts):
        lines += _metric(cards("metric")[entry.name])
    elif isinstance(facts, DatasetFacts):
        lines += _dataset(cards("dataset")[entry.name])
    elif isinstance(facts, MethodFacts):
        lines += _method(cards("method")[entry.name])
    elif isinstance(facts, TaskFacts):
        lines += _task(cards("task")[entry.name])
    return "\n".join([*lines, *_training(entry)]) + "\n"


def _metric(entry: MetricCard) -> list[str]:
    facts = entry.facts
    agreements = measured(entry.path.parent / "parity.json")
    better = "larger" if facts.direction == "up" else "smaller"
    lines = [f"better:   {better}; range {bounds(facts.range)}; default {entry.name}@{facts.default}"]
    for name in facts.variants:
        default = "  (default)" if name == facts.default else ""
        lines += ["", f"{entry.name}@{name}{default}", *variant_lines(entry, name, agreements)]
    return [*lines, "", *(f"fault of {f.implementation}: {f.what}" for f in facts.faults)]


def _task(entry: TaskCard) -> list[str]:
    facts = entry.facts
    columns = ", ".join(score for score, _ in facts.columns)
    return [f"needs:    {facts.needs}", f"networks: {', '.join(facts.networks)}", f"columns:  {columns}"]


def _training(entry: Card[Facts]) -> list[str]:
    name = entry.facts.networks[0] if isinstance(entry.facts, TaskFacts) else entry.name
    lines = []
    for training in entry.facts.training if isinstance(entry.facts, MethodFacts | TaskFacts) else ():
        stage = f" --stage {training.stage}" if training.stage else ""
        many = "one or several of" if training.together else "one of"
        lines.append(f"training: fusionbench train {name}{stage} --datasets, {many} {', '.join(training.datasets)}")
    return lines + [f"ours:     {text}" for text in entry.facts.ours]


def _dataset(entry: DatasetCard) -> list[str]:
    facts = entry.facts
    lines = [
        f"split {s.name}: {counted('?' if s.count is None else s.count, 'pair')} ({s.source})" for s in facts.splits
    ]
    classes = facts.classes
    for kind, names in (
        ("segmentation", classes.segmentation),
        ("boxes", classes.boxes),
        ("box_aliases", tuple(classes.box_aliases)),
    ):
        if names:
            lines.append(f"{kind} classes: {', '.join(names)}")
    lines += [
        f"protocol {n}@v{p.version}: split {p.split}, colour {p.colour}, output {p.output}, "
        f"profile {p.profile}, metrics {', '.join(p.metrics)}"
        for n, p in facts.protocols.items()
    ]
    if facts.get:
        lines += ["", "how to get it:", facts.get.strip()]
    if facts.tree:
        lines += ["", "the tree to build:", facts.tree.rstrip()]
    return lines


def _method(entry: MethodCard) -> list[str]:
    from fusionbench.plugins.weights import hint, installed

    facts = entry.facts
    rule = {} if facts.output is None else msgspec.to_builtins(facts.output)
    lines = [f"output rule (released): {', '.join(f'{k} {v}' for k, v in rule.items())}"]
    usable = {w.name: w for w in installed(entry.name)}
    for listed in facts.weights:
        state = "here" if listed.sha256 in {w.sha256 for w in usable.values()} else "not here"
        file = " + ".join(p.file for p in listed.parts) or listed.file or "comes with fusionbench"
        runs = "".join(f"{key}={value}, " for key, value in listed.options.items())
        text = f"sha256 {listed.sha256[:12]}..., {runs}trained on {listed.trained_on} ({state})"
        lines.append(f"weights {listed.name}: {file} {text}{listed.aside and f'; not in eval --all: {listed.aside}'}")
    for name, own in usable.items():
        if not own.listed:
            lines.append(f"weights {name}: yours, sha256 {own.sha256[:12]}..., trained on {own.trained_on} (here)")
    if facts.parity:
        worst, least = (
            max(p.max_abs for p in facts.parity),
            min((p.equal for p in facts.parity if p.picture), default=0),
        )
        pictures = f", pictures to a level and {least:.1%} of the values equal" if least else ""
        lines.append(f"compared with the authors' program: output within {worst:g}{pictures}")
    if facts.unverified:
        lines.append(f"not ranked: {facts.unverified}")
    if facts.requires_weights and not usable:
        lines.append(f"to run it: {spelt(hint(entry))}")
    return lines
