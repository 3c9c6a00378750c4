"""Pages of methods, datasets and tasks, from their cards; and lists of what is to be had by hand, with checksums."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fusionbench.plugins.cards import Card, DatasetCard, MethodCard, TaskCard, cards
from fusionbench.plugins.records import DatasetFacts, Facts, MethodFacts, Training, WeightFacts

from . import pictures
from .text import block, code, plain, source, table

CAPTION = f"*Infrared, visible and fused: a generated scene ({pictures.CONDITION}, seed {pictures.SEED}).*"


def pages() -> Iterator[tuple[str, str, str | bytes]]:
    """Path in the site, title and text of each page; a picture has bytes, and no title."""
    for name, method in cards("method").items():
        shown = pictures.entry(method)
        if shown:
            yield f"method/pictures/{name}.jpg", "", pictures.strip(shown)
        yield f"method/{name}.md", method.title, method_page(method, f"method/{name}.md", shown)
    for name, dataset in cards("dataset").items():
        yield f"dataset/{name}.md", dataset.title, dataset_page(dataset, f"dataset/{name}.md")
    for name, task in cards("task").items():
        yield f"task/{name}.md", task.title, task_page(task, f"task/{name}.md")


def about(card: Card[Facts], uri: str) -> list[tuple[str, str]]:
    """What every card says."""
    facts = card.facts
    rows = [
        ("paper", plain(", ".join(filter(None, (facts.paper, facts.venue, str(facts.year or "")))))),
        ("see", "<br>".join(f"<{url}>" for url in facts.urls)),
        ("licence", plain(facts.licence)),
        ("needs the extra", code(facts.extra) if facts.extra else ""),
        ("code", source(card.source, uri)),
    ]
    return [row for row in rows if row[1]]


def options(facts: Facts) -> str:
    """The options of a plugin."""
    rows = [(code(n), code(o.default), plain(o.help)) for n, o in facts.options.items()]
    return f"## Options\n\n{table(('option', 'default', 'what it is'), rows)}" if rows else ""


def own(facts: Facts) -> str:
    """Where it differs from the publication, and what is ours."""
    lines = [f"- {plain(text)}" for text in facts.ours]
    parts = [f"## Beside the publication\n\n{plain(facts.differs)}" if facts.differs or lines else ""]
    parts += ["What the publication leaves open, and is our own:\n\n" + "\n".join(lines)] if lines else []
    return "\n\n".join(filter(None, parts))


def trained(training: tuple[Training, ...], name: str) -> str:
    """How it is trained."""
    lines = []
    for one in training:
        stage = f" --stage {one.stage}" if one.stage else ""
        many = "one or several of" if one.together else "one of"
        names = ", ".join(map(code, one.datasets))
        lines.append(f"- `fusionbench train {name}{stage} --datasets D`, D {many} {names}")
    if not lines:
        return ""
    return "## Training\n\n" + "\n".join(lines) + f"\n\n`fusionbench train {name} --show-config` prints every setting."


def weights(rows: tuple[WeightFacts, ...], name: str) -> str:
    """Checkpoints that a card lists: what each learned from, where it is, and its hash."""
    lines = []
    for w in rows:
        lines.append(f"- {code(f'{name}[{w.name}]')}, trained on {plain(w.trained_on)}")
        for file, digest in [(p.file, p.sha256) for p in w.parts] or [(w.file, w.sha256)]:
            lines.append(f"    - {code(file) if file else 'comes with fusionbench'}, SHA-256 {code(digest)}")
        if w.url:
            lines.append(f"    - from {plain(w.url)}")
        if w.options:
            lines.append(f"    - runs with {', '.join(code(f'{k}={v}') for k, v in w.options.items())}")
    return "\n".join(lines)


def method_page(card: MethodCard, uri: str, shown: str) -> str:
    """The page of one method."""
    facts = card.facts
    rule = msgspec.to_builtins(facts.output) if facts.output else {}
    rows = [
        ("family", facts.family),
        ("parameters", f"{facts.parameters:,}" if facts.parameters else ""),
        *about(card, uri),
        ("picture it saves", ", ".join(f"{key} {code(value)}" for key, value in rule.items())),
        ("memory", f"about {facts.memory} bytes a pixel on a processor" if facts.memory else ""),
        ("speed", "seconds a picture on a processor: not in `eval --all`" if facts.slow else ""),
        ("in rankings", plain(f"no: {facts.unverified}") if facts.unverified else ""),
    ]
    image = f"![Infrared, visible, and fused by {card.title}](pictures/{card.name}.jpg)\n\n{CAPTION}" if shown else ""
    parts = [
        f"# {plain(card.title)}",
        f"{plain(card.summary)}.",
        image,
        table(("", ""), [row for row in rows if row[1]]),
        getting(card),
        compared(facts),
        trained(facts.training, card.name),
        options(facts),
        own(facts),
        f"## To cite it\n\n{block('bibtex', facts.bibtex)}" if facts.bibtex else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def getting(card: MethodCard) -> str:
    """Its weights and how to get them."""
    listed = card.facts.weights
    if not listed:
        return "" if not card.facts.requires_weights else "## Weights\n\nNone are known; train it, or add your own."
    by_hand = [w for w in listed if not w.packaged]
    text = ""
    if by_hand:
        files = " ".join(p.file for p in by_hand[0].parts) or by_hand[0].file or "FILE"
        text = (
            "Get the file from the address below (nothing is downloaded for you; shared drives refuse that), then "
            "hand it over. Its SHA-256 is compared with the one here, and it is read as tensors only.\n\n"
            + block("text", f"fusionbench weights add {card.name} {files}")
        )
    else:
        text = "The card lists none of its authors; these come with fusionbench and were trained here.\n"
    return f"## Weights\n\n{text}\n{weights(listed, card.name)}"


def compared(facts: MethodFacts) -> str:
    """How close it came to what its authors' program, or published pictures, show."""
    rows = [
        (code(p.weights), f"{p.max_abs:g}", f"{p.equal:.1%} of the values equal" if p.picture else "not compared")
        for p in facts.parity
    ]
    parts = [table(("authors' program, weights", "largest difference of the output", "picture"), rows)]
    rows = [
        (
            plain(a.source),
            f"{a.dataset}, {a.pairs} pairs",
            f"{a.difference:g} of 255",
            f"{a.correlation:g}, worst {a.worst:g}",
            plain(a.note),
        )
        for a in facts.agreement
    ]
    parts.append(table(("pictures of", "pairs", "mean difference", "correlation", "note"), rows))
    text = "\n\n".join(filter(None, parts))
    return f"## Parity\n\n{text}" if text else ""


def dataset_page(card: DatasetCard, uri: str) -> str:
    """The page of one dataset."""
    facts = card.facts
    rows = [
        (code(s.name), "?" if s.count is None else f"{s.count:,}", plain(s.source), s.content_sha256[:16])
        for s in facts.splits
    ]
    protocols = [
        (
            code(f"{name}@v{p.version}"),
            p.split,
            p.colour,
            p.output,
            p.profile,
            ", ".join(p.metrics),
        )
        for name, p in facts.protocols.items()
    ]
    classes = [
        (what, ", ".join(map(plain, names)))
        for what, names in (("segmentation", facts.classes.segmentation), ("boxes", facts.classes.boxes))
        if names
    ]
    parts = [
        f"# {plain(card.title)}",
        f"{plain(card.summary)}.",
        table(("", ""), about(card, uri)),
        obtaining(facts),
        f"## Folders\n\n{block('text', facts.tree)}" if facts.tree else "",
        f"## Splits\n\n{table(('split', 'pairs', 'who says so', 'content hash'), rows)}" if rows else "",
        f"## Protocols\n\n{table(('protocol', 'split', 'colour', 'output', 'profile', 'metrics'), protocols)}",
        f"## Classes\n\n{table(('label', 'names'), classes)}" if classes else "",
        options(facts),
        own(facts),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def obtaining(facts: DatasetFacts) -> str:
    """How to get a dataset."""
    text = plain(facts.get)
    if facts.download:
        sha = f", SHA-256 `{facts.download.sha256}`" if facts.download.sha256 else ", without a stable checksum"
        text += f"\n\n`fusionbench data download {facts.name}` fetches <{facts.download.url}>{sha}."
    return f"## To get it\n\n{text.strip()}" if text.strip() else ""


def task_page(card: TaskCard, uri: str) -> str:
    """The page of one downstream task."""
    facts = card.facts
    rows = [
        ("label it needs", code(facts.needs)),
        ("networks", ", ".join(map(code, facts.networks))),
        ("columns", ", ".join(f"{plain(title)}{' ↓' * (score in facts.lower)}" for score, title in facts.columns)),
        *about(card, uri),
    ]
    networks = "\n".join(weights((w,), w.network) for w in facts.weights)
    parts = [
        f"# {plain(card.title)}",
        f"{plain(card.summary)}.",
        table(("", ""), rows),
        trained(facts.training, facts.networks[0]),
        f"## Weights of others\n\n{networks}" if networks else "",
        options(facts),
        own(facts),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def methods_index() -> str:
    """All methods, by family."""
    families: dict[str, list[MethodCard]] = {}
    for card in cards("method").values():
        families.setdefault(card.facts.family, []).append(card)
    parts = []
    for family in sorted(families, key=lambda f: (not f, f)):
        rows = [
            (
                f"[{plain(card.title)}](method/{card.name}.md)",
                str(card.facts.year or ""),
                plain(card.summary),
                "runs at once" if pictures.entry(card) else "pictures of yours" if card.facts.precomputed else "to get",
            )
            for card in sorted(families[family], key=lambda c: (c.facts.year or 0, c.name))
        ]
        parts.append(f"### {(family or 'without a family').capitalize()}\n\n"
                     + table(("method", "year", "what it is", "weights"), rows))  # fmt: skip
    return "\n".join(parts)


def datasets_index() -> str:
    """All datasets: where they are from, and what is said of their licence."""
    rows = [
        (f"[{plain(card.title)}](dataset/{name}.md)", plain(card.summary), plain(card.facts.licence))
        for name, card in cards("dataset").items()
    ]
    return table(("dataset", "what it is", "licence"), rows)


def weights_index() -> str:
    """Every checkpoint that is to be had by hand, with its checksums."""
    rows = []
    listed: list[tuple[str, WeightFacts]] = [
        (name, w) for name, card in cards("method").items() for w in card.facts.weights
    ]
    listed += [(w.network, w) for card in cards("task").values() for w in card.facts.weights]
    for name, w in listed:
        files = [(p.file, p.sha256) for p in w.parts] or [(w.file, w.sha256)]
        rows += [
            (
                code(f"{name}[{w.name}]"),
                plain(w.trained_on),
                code(file),
                f"<{w.url}>" if w.url.startswith("http") else plain(w.url),
                code(sha),
            )
            for file, sha in files
            if not w.packaged
        ]
    return table(("entry", "trained on", "file", "from", "SHA-256 of the file"), rows)


def tasks_index() -> str:
    """All tasks."""
    rows = [
        (f"[{plain(card.title)}](task/{name}.md)", plain(card.summary), code(card.facts.needs))
        for name, card in cards("task").items()
    ]
    return table(("task", "what it is", "label"), rows)
