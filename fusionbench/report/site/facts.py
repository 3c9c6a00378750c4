"""What cards say of the methods, metrics, datasets and weights on a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from fusionbench.evaluation.protocol import Metric
from fusionbench.plugins.cards import DatasetCard, cards, profiles
from fusionbench.report.colours import colour_of
from fusionbench.report.site.shown import Shown
from fusionbench.results.records import Board

Plain = dict[str, object]


def address(text: str) -> str:
    """A link that may be followed, "" of anything but http and https."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.hostname else ""


def methods(every: Iterable[Shown]) -> list[Plain]:
    """Each method of the tables once, with its colour."""
    infos = {row.info.method: row.info for shown in every for row in shown.table.rows}
    known = cards("method")
    found: list[Plain] = []
    for name, info in sorted(infos.items()):
        facts = known[name].facts if name in known else None
        found.append(
            {
                "name": name,
                "title": info.title,
                "colour": colour_of(name),
                "family": "source" if info.source_only else (facts.family or "pictures of others") if facts else "",
                "year": facts.year if facts else None,
                "venue": facts.venue if facts else "",
                "paper": facts.paper if facts else "",
                "urls": [u for u in map(address, facts.urls) if u] if facts else [],
                "licence": facts.licence if facts else "",
                "parameters": facts.parameters if facts else None,
                "differs": facts.differs if facts else "",
            }
        )
    return found


def metrics(every: Iterable[Shown]) -> list[Plain]:
    """Each column of the tables once."""
    columns = {m.id: m for shown in every for table in (shown.table, *shown.more) for m in table.metrics}
    return [_metric(m) for _, m in sorted(columns.items())]


def _metric(m: Metric) -> Plain:
    facts = m.card.facts
    variant = facts.variants[m.variant]
    low, high = facts.range_of(m.variant)
    return {
        "id": m.id,
        "name": m.card.title,
        "variant": m.id.partition("@")[2],
        "up": m.up,
        "digits": m.digits,
        "summary": m.card.summary,
        "formula": variant.formula,
        "note": variant.note,
        "used_by": list(variant.used_by),
        "range": f"{low:g} to {high:g}",
        "undefined": facts.undefined_of(m.variant),
        "paper": facts.paper,
    }


def evaluators(names: Iterable[str]) -> list[Plain]:
    """The profiles by name, and what they are."""
    known = profiles()
    found: list[Plain] = [{"name": "default", "title": "ours (the protocol's variants)", "source": "", "note": ""}]
    for name in sorted(set(names) - {"default"}):
        p = known.get(name)
        title = p.title or name if p else f"other columns ({name.removeprefix('metrics=')})"
        found.append({"name": name, "title": title, "source": p.source if p else "", "note": p.note if p else ""})
    return found


def dataset_of(board: Board) -> DatasetCard | None:
    """The card of a board's dataset, or of the one in whose layout it was generated."""
    label = board.dataset.removesuffix(f"+{board.corruption}") if board.corruption else board.dataset
    known = cards("dataset")
    if board.origin.generator:
        return known.get(label.removeprefix(f"{board.origin.generator}-"))
    return known.get(label) or next(
        (c for n, c in known.items() if c.facts.generic and label.startswith(f"{n}-")), None
    )


def licences(every: Sequence[Shown]) -> list[Plain]:
    """A line for each dataset and each checkpoint on the page."""
    lines: dict[str, Plain] = {}
    for shown in every:
        board = shown.table.board
        card = dataset_of(board)
        if board.origin.generator:
            text = f"drawn by fusionbench's generator ({board.origin.source}); no image of anybody's"
            urls: list[str] = []
        else:
            text = card.facts.licence or "no licence stated" if card else "no card here, so no licence is known"
            urls = [u for u in map(address, card.facts.urls) if u] if card else []
        lines.setdefault(f"d {board.dataset}", {"kind": "dataset", "name": board.title, "text": text, "urls": urls})
    known = cards("method")
    for info in (row.info for shown in every for row in shown.table.rows if row.info.weights):
        facts = known[info.method].facts if info.method in known else None
        weights = info.weights
        assert weights is not None
        card_weights = next((w for w in facts.weights if w.sha256 == weights.sha256), None) if facts else None
        urls = [u for u in (address(card_weights.url) if card_weights else "",) if u]
        text = facts.licence or "no licence stated" if facts else "no card here, so no licence is known"
        name = f"{info.title}, weights {weights.name}"
        lines.setdefault(
            f"w {info.method} {weights.sha256}", {"kind": "weights", "name": name, "text": text, "urls": urls}
        )
    return [line for _, line in sorted(lines.items())]
