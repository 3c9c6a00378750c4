"""What is known of one variant of a metric: its card's facts, and what was measured against others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from fusionbench.counting import counted
from fusionbench.errors import PluginError
from fusionbench.evaluation.protocol import in_profile
from fusionbench.plugins.cards import MetricCard
from fusionbench.plugins.records import Oracle, Variant


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
        return (
            f"  {verb} {who} ({self.theirs}) on {counted(self.images, 'image')}: measured <= {self.deviation:g}{claim}"
        )


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


def variant_lines(entry: MetricCard, name: str, agreements: Mapping[str, list[Agreement]]) -> list[str]:
    """What is known of one variant of a metric."""
    facts, variant = entry.facts, entry.facts.variants[name]
    lines = [f"  {variant.formula}"]
    lines.append(f"  range {bounds(facts.range_of(name))}; input {variant.input}; options {variant.options or 'none'}")
    if variant.used_by:
        lines.append("  published with by " + "; ".join(variant.used_by))
    used = [p for p in facts.profiles if name in (v.partition("/")[0] for v in in_profile(entry, p))]
    if used:
        lines.append("  profiles " + ", ".join(used))
    lines += _agreement(variant, agreements.get(f"{entry.name}@{name}", []))
    if variant.note:
        lines.append(f"  note: {variant.note}")
    return lines


def bounds(ends: tuple[float, float]) -> str:
    """A range in words."""
    return f"[{ends[0]}, {ends[1]}]"


def _agreement(variant: Variant, agreements: list[Agreement]) -> list[str]:
    """What was measured against others; of what a card claims beyond that, the claim."""
    known = {(a.theirs, a.program) for a in agreements}
    claims = [o for o in variant.oracles if (o.metric, o.implementation or o.file) not in known]
    return [*(a.line() for a in agreements), *map(_claim, claims)]


def _claim(oracle: Oracle) -> str:
    who = oracle.implementation or f"the published {oracle.file.upper()} sheet"
    return f"  agrees with {who} ({oracle.metric}) to rtol {oracle.rtol:g}, atol {oracle.atol:g}"
