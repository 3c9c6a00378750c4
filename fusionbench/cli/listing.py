"""``fusionbench list`` and ``fusionbench show``: read cards, import no plugin."""

from __future__ import annotations

import json
from typing import Any

import click

from fusionbench.cli.options import any_name, as_json
from fusionbench.errors import PluginError
from fusionbench.evaluation.protocol import in_profile
from fusionbench.plugins.cards import KINDS, Card, cards, profiles

WHAT = (*(f"{k}s" for k in KINDS), "profiles", "protocols")


@click.command("list")
@click.argument("what", type=click.Choice(WHAT), required=False)
@as_json
def list_command(what: str | None, json_: bool) -> None:
    """List methods, metrics, datasets, tasks, profiles or protocols; all of them by default."""
    found: dict[str, dict[str, str]] = {}
    for name in [what] if what else WHAT:
        if name == "profiles":
            rows = {n: p.title for n, p in profiles().items()}
        elif name == "protocols":
            rows = {
                f"{p}@v{facts['version']}": f"{c.title}, split {facts['split']}, {len(facts['metrics'])} metrics"
                for c in cards("dataset").values()
                for p, facts in c.data.get("protocols", {}).items()
            }
        else:
            rows = {n: c.summary for n, c in cards(name[:-1]).items()}
        found[name] = rows
    if json_:
        click.echo(json.dumps(found, indent=1))
        return
    for name, rows in found.items():
        if not rows:
            continue
        click.echo(f"{name}")
        width = max(map(len, rows))
        for key, text in rows.items():
            click.echo(f"  {key:<{width}}  {text}")


@click.command("show")
@click.argument("name", shell_complete=any_name)
@click.option("--kind", type=click.Choice(KINDS), help="When two plugins of different kinds share a name.")
@as_json
def show_command(name: str, kind: str | None, json_: bool) -> None:
    """Show what the card of a plugin says; for a metric, every variant."""
    found = [cards(k)[name] for k in KINDS if (kind in (None, k)) and name in cards(k)]
    if not found:
        from fusionbench.plugins.cards import did_you_mean

        every = [n for k in KINDS for n in cards(k)]
        raise PluginError(f"no plugin {name!r}; {did_you_mean(name, every)}")
    if json_:
        click.echo(json.dumps([c.data for c in found], indent=1, default=str))
        return
    for entry in found:
        click.echo(_describe(entry))


def _describe(entry: Card) -> str:
    d = entry.data
    lines = [f"{entry.title} ({entry.kind} {entry.name}, version {d['version']})", entry.summary, ""]
    paper = ", ".join(str(d[k]) for k in ("paper", "venue", "year") if k in d)
    for label, value in (
        ("paper", paper),
        ("urls", " ".join(d.get("urls", []))),
        ("licence", d.get("licence", "")),
        ("code", str(entry.source)),
    ):
        if value:
            lines.append(f"{label + ':':<10}{value}")
    for name, option in entry.options.items():
        lines.append(f"option {name} = {option.default}: {option.help}")
    lines += {"metric": _metric, "dataset": _dataset, "method": _method, "task": _task}[entry.kind](entry)
    lines += _training(entry)
    return "\n".join(lines) + "\n"


def _metric(entry: Card) -> list[str]:
    d = entry.data
    low, high = d["range"]
    better = "larger" if d["direction"] == "up" else "smaller"
    parity = entry.path.parent / "parity.json"
    measured = json.loads(parity.read_text(encoding="utf-8")) if parity.is_file() else {}
    lines = [f"better:   {better}; range [{low}, {high}]; default {entry.name}@{d['default']}"]
    for name, v in d["variants"].items():
        lines += [
            "",
            f"{entry.name}@{name}" + ("  (default)" if name == d["default"] else ""),
            f"  {v.get('formula', '')}",
        ]
        low, high = v.get("range", d["range"])
        lines.append(
            f"  range [{low}, {high}]; input {v.get('input', 'grey levels 0..255')}; "
            f"options {v.get('options', {}) or 'none'}"
        )
        if v.get("used_by"):
            lines.append("  published with by " + "; ".join(v["used_by"]))
        used = [p for p in d.get("profiles", {}) if name in (v.partition("/")[0] for v in in_profile(entry, p))]
        if used:
            lines.append("  profiles " + ", ".join(used))
        lines += _agreement(v.get("oracles", []), measured.get(f"{entry.name}@{name}", []))
        if v.get("note"):
            lines.append(f"  note: {v['note']}")
    lines += ["", *(f"fault of {f['implementation']}: {f['what']}" for f in d.get("faults", []))]
    return lines


def _agreement(oracles: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """What was measured against others; of what a card claims beyond that, the claim."""
    lines = []
    rows = [r for r in rows if r["deviation"] is not None]
    for r in rows:
        who = f"the published {r['program'].upper()} sheet" if r["kind"] == "sheet" else r["program"]
        agrees, claim = ("differs from", "") if r["claimed"] is None else ("agrees with", f", claimed {r['claimed']:g}")
        bound = f"on {r['images']} images: measured <= {r['deviation']:g}{claim}"
        lines.append(f"  {agrees} {who} ({r['theirs']}) {bound}")
    known = {(r["theirs"], r["program"]) for r in rows}
    for o in oracles:
        if (o["metric"], o.get("implementation") or o["file"]) not in known:
            who = o.get("implementation") or f"the published {o['file'].upper()} sheet"
            lines.append(f"  agrees with {who} ({o['metric']}) to rtol {o.get('rtol', 0):g}, atol {o.get('atol', 0):g}")
    return lines


def _task(entry: Card) -> list[str]:
    d = entry.data
    columns = ", ".join(score for score, _ in d["columns"])
    return [f"needs:    {d['needs']}", f"networks: {', '.join(d['networks'])}", f"columns:  {columns}"]


def _training(entry: Card) -> list[str]:
    name = entry.data["networks"][0] if entry.kind == "task" else entry.name
    lines = []
    for facts in entry.data.get("training", []):
        stage = f" --stage {facts['stage']}" if facts.get("stage") else ""
        many = "one or several of" if facts.get("together") else "one of"
        lines.append(f"training: fusionbench train {name}{stage} --dataset, {many} {', '.join(facts['datasets'])}")
    return lines + [f"ours:     {text}" for text in entry.data.get("ours", [])]


def _dataset(entry: Card) -> list[str]:
    d = entry.data
    lines = [f"split {s['name']}: {s.get('count', '?')} pairs ({s.get('source', '')})" for s in d.get("splits", [])]
    for kind, names in d.get("classes", {}).items():
        if kind != "palette":
            lines.append(f"{kind} classes: {', '.join(map(str, names))}")
    lines += [
        f"protocol {n}@v{p['version']}: split {p['split']}, colour {p['colour']}, output {p['output']}, "
        f"profile {p['profile']}, metrics {', '.join(p['metrics'])}"
        for n, p in d.get("protocols", {}).items()
    ]
    if d.get("get"):
        lines += ["", "how to get it:", d["get"].strip()]
    if d.get("tree"):
        lines += ["", "the tree to build:", d["tree"].rstrip()]
    return lines


def _method(entry: Card) -> list[str]:
    from fusionbench.plugins.weights import hint, installed

    d: dict[str, Any] = entry.data
    lines = [f"output rule (released): {', '.join(f'{k} {v}' for k, v in d.get('output', {}).items())}"]
    here = {w.name: w for w in installed(entry.name)}
    for w in d.get("weights", []):
        state = "here" if w["sha256"] in {own.sha256 for own in here.values()} else "not here"
        file = w.get("file", "comes with fusionbench")
        lines.append(
            f"weights {w['name']}: {file} sha256 {w['sha256'][:12]}..., trained on {w['trained_on']} ({state})"
        )
    for name, own in here.items():
        if not own.listed:
            lines.append(f"weights {name}: yours, sha256 {own.sha256[:12]}..., trained on {own.trained_on} (here)")
    if d.get("requires_weights") and not here:
        lines.append(f"to run it: {hint(entry)}")
    return lines
