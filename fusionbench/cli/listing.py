"""``fusionbench list`` and ``fusionbench show``: read cards, import no plugin."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from fusionbench.cli.options import any_name, as_json
from fusionbench.cli.spelling import spelt
from fusionbench.errors import PluginError
from fusionbench.evaluation.protocol import in_profile
from fusionbench.plugins.cards import (
    KINDS,
    Card,
    DatasetCard,
    MethodCard,
    MetricCard,
    TaskCard,
    cards,
    did_you_mean,
    profiles,
)
from fusionbench.plugins.records import DatasetFacts, Facts, MethodFacts, MetricFacts, Oracle, TaskFacts, Variant

WHAT = (*(f"{k}s" for k in KINDS), "profiles", "protocols")


@click.command("list")
@click.argument("what", type=click.Choice(WHAT), required=False)
@as_json
def list_command(what: str | None, json_: bool) -> None:
    """List methods (by family), metrics, datasets, tasks, profiles or protocols; all of them by default."""
    tables: dict[str, dict[str, str]] = {}
    for name in [what] if what else WHAT:
        if name == "profiles":
            rows = {n: p.title for n, p in profiles().items()}
        elif name == "protocols":
            rows = {
                f"{p}@v{facts.version}": f"{c.title}, split {facts.split}, {len(facts.metrics)} metrics"
                for c in cards("dataset").values()
                for p, facts in c.facts.protocols.items()
            }
        else:
            rows = {n: c.summary for n, c in cards(name[:-1]).items()}
        tables[name] = rows
    if json_:
        click.echo(json.dumps(tables, indent=1))
        return
    for name, rows in tables.items():
        if not rows:
            continue
        click.echo(f"{name}")
        if name == "methods":
            click.echo("\n".join(_families(rows)))
            continue
        width = max(map(len, rows))
        for key, text in rows.items():
            click.echo(f"  {key:<{width}}  {text}")


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
            lines.append(f"  {name:<{width}}  {known[name].facts.year or '':<4}{mark} {rows[name]}")
    if lacking:
        lines.append("  * no weights here; `fusionbench show NAME` says where they are and how to add them")
    return lines


@click.command("show")
@click.argument("name", shell_complete=any_name)
@click.option("--kind", type=click.Choice(KINDS), help="When two plugins of different kinds share a name.")
@as_json
def show_command(name: str, kind: str | None, json_: bool) -> None:
    """Show what the card of a plugin says; for a metric, every variant."""
    chosen = [cards(k)[name] for k in KINDS if (kind in (None, k)) and name in cards(k)]
    if not chosen:
        raise PluginError(f"no plugin {name!r}; {did_you_mean(name, [n for k in KINDS for n in cards(k)])}")
    if json_:
        click.echo(json.dumps([c.data for c in chosen], indent=1, default=str))
        return
    for entry in chosen:
        click.echo(describe(entry))


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


class Agreement(msgspec.Struct, frozen=True):
    """How far a variant was measured to be from another program or a published sheet.

    Attributes:
        theirs: name of the value there.
        program: of whom, or which sheet.
        images: on how many.
        claimed: the tolerance that the card claims; None where the two are known to differ.
        deviation: the largest one measured; None where nothing could be measured.
        kind: ``program``, ``library`` or ``sheet``.
    """

    theirs: str
    program: str
    images: int
    claimed: float | None
    deviation: float | None
    kind: str

    def line(self) -> str:
        """In words."""
        who = f"the published {self.program.upper()} sheet" if self.kind == "sheet" else self.program
        verb = "differs from" if self.claimed is None else "agrees with"
        claim = "" if self.claimed is None else f", claimed {self.claimed:g}"
        return f"  {verb} {who} ({self.theirs}) on {self.images} images: measured <= {self.deviation:g}{claim}"


def measured(path: Path) -> dict[str, list[Agreement]]:
    """Metric id to what was measured of it, from the file beside the metrics.

    Raises:
        PluginError: a file that cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=dict[str, list[Agreement]])
    except (OSError, msgspec.MsgspecError) as error:
        raise PluginError(f"{path}: cannot be read: {error}") from None
    return {name: [a for a in agreements if a.deviation is not None] for name, agreements in rows.items()}


def _metric(entry: MetricCard) -> list[str]:
    facts = entry.facts
    agreements = measured(entry.path.parent / "parity.json")
    better = "larger" if facts.direction == "up" else "smaller"
    lines = [f"better:   {better}; range {_range(facts.range)}; default {entry.name}@{facts.default}"]
    for name, variant in facts.variants.items():
        default = "  (default)" if name == facts.default else ""
        lines += ["", f"{entry.name}@{name}{default}", f"  {variant.formula}"]
        lines.append(
            f"  range {_range(facts.range_of(name))}; input {variant.input}; options {variant.options or 'none'}"
        )
        if variant.used_by:
            lines.append("  published with by " + "; ".join(variant.used_by))
        used = [p for p in facts.profiles if name in (v.partition("/")[0] for v in in_profile(entry, p))]
        if used:
            lines.append("  profiles " + ", ".join(used))
        lines += _agreement(variant, agreements.get(f"{entry.name}@{name}", []))
        if variant.note:
            lines.append(f"  note: {variant.note}")
    return [*lines, "", *(f"fault of {f.implementation}: {f.what}" for f in facts.faults)]


def _range(bounds: tuple[float, float]) -> str:
    return f"[{bounds[0]}, {bounds[1]}]"


def _agreement(variant: Variant, agreements: list[Agreement]) -> list[str]:
    """What was measured against others; of what a card claims beyond that, the claim."""
    known = {(a.theirs, a.program) for a in agreements}
    claims = [o for o in variant.oracles if (o.metric, o.implementation or o.file) not in known]
    return [*(a.line() for a in agreements), *map(_claim, claims)]


def _claim(oracle: Oracle) -> str:
    who = oracle.implementation or f"the published {oracle.file.upper()} sheet"
    return f"  agrees with {who} ({oracle.metric}) to rtol {oracle.rtol:g}, atol {oracle.atol:g}"


def _task(entry: TaskCard) -> list[str]:
    facts = entry.facts
    columns = ", ".join(score for score, _ in facts.columns)
    return [f"needs:    {facts.needs}", f"networks: {', '.join(facts.networks)}", f"columns:  {columns}"]


def _training(entry: Card[Facts]) -> list[str]:
    name = entry.facts.networks[0] if isinstance(entry.facts, TaskFacts) else entry.name
    lines = []
    for training in entry.facts.training:
        stage = f" --stage {training.stage}" if training.stage else ""
        many = "one or several of" if training.together else "one of"
        lines.append(f"training: fusionbench train {name}{stage} --dataset, {many} {', '.join(training.datasets)}")
    return lines + [f"ours:     {text}" for text in entry.facts.ours]


def _dataset(entry: DatasetCard) -> list[str]:
    facts = entry.facts
    lines = [f"split {s.name}: {'?' if s.count is None else s.count} pairs ({s.source})" for s in facts.splits]
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
        lines.append(f"weights {listed.name}: {file} {text}")
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
