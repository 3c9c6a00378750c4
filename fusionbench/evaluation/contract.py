"""The plugin contract as code: our tests run it over every plugin, `fusionbench validate` over a stranger's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import Card
from fusionbench.plugins.registry import resolve


@dataclass
class Report:
    """Outcome of every check: (name, state, detail), state one of ``ok``, ``fail``, ``skip``."""

    card: Card
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(state != "fail" for _, state, _ in self.rows)

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Run one check; what it raises is its failure, and the next check still runs."""
        try:
            yield
        except _SkipCheck as reason:
            self.rows.append((name, "skip", str(reason)))
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            plain = isinstance(error, (AssertionError, FusionbenchError))
            self.rows.append((name, "fail", text if plain else f"{type(error).__name__}: {text}"))
        else:
            self.rows.append((name, "ok", ""))


class _SkipCheck(Exception):
    pass


def validate(entry: Card) -> Report:
    """Run the contract of the card's kind.

    Returns:
        Every check with its outcome; nothing is raised.
    """
    report = Report(entry)
    with report.check("card"):
        _card(entry)
    with report.check("code imports"):
        resolve(entry.kind, entry.name)
    if report.ok:
        CONTRACTS.get(entry.kind, lambda *_: None)(entry, report)
    return report


def _need(condition: Any, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def _card(entry: Card) -> None:
    d = entry.data
    _need(
        entry.name == entry.name.lower() and "@" not in entry.name and "[" not in entry.name,
        f"name {entry.name!r}: lower case, without @ and [",
    )
    _need("\n" not in d["summary"], "summary is one line")
    for name, option in entry.options.items():
        _need({"default", "help"} <= option.keys(), f"option {name} needs default and help")
    for url in d.get("urls", []):
        _need(url.startswith(("https://", "http://")), f"url {url!r} is no web address")
    if "year" in d:
        _need(isinstance(d["year"], int), "year is a number")
    _EXTRA.get(entry.kind, lambda _: None)(d)


def _method_card(d: dict[str, Any]) -> None:
    from fusionbench.pixels.output_rule import OutputRule

    OutputRule(**d.get("output", {}))
    for w in d.get("weights", []):
        where = {"packaged"} if "packaged" in w else {"file", "url"}
        wanted = {"name", "sha256", "trained_on", *where}
        _need(wanted <= w.keys(), f"weights {w.get('name', '?')} need {', '.join(sorted(wanted))}")
        _need(len(w["sha256"]) == 64, f"weights {w['name']}: sha256 has 64 hex digits")


def _metric_card(d: dict[str, Any]) -> None:
    _need(d.get("direction") in ("up", "down"), "direction is up or down")
    _need(len(d.get("range", [])) == 2 and d["range"][0] < d["range"][1], "range is [low, high]")
    _need(d.get("variants"), "needs at least one [variants.NAME]")
    _need(d.get("default") in d["variants"], f"default {d.get('default')!r} is none of its variants")
    for name, v in d["variants"].items():
        _need(v.get("formula"), f"variant {name} needs a formula")
    for profile, named in d.get("profiles", {}).items():
        for variant in named if isinstance(named, list) else [named]:
            _need(variant.partition("/")[0] in d["variants"], f"profile {profile} names no variant of it: {variant!r}")


def _dataset_card(d: dict[str, Any]) -> None:
    _need(d.get("protocols"), "needs at least one [protocols.NAME]")
    for name, p in d["protocols"].items():
        missing = {"version", "split", "colour", "output", "profile", "metrics"} - p.keys()
        _need(not missing, f"protocol {name} lacks {', '.join(sorted(missing))}")


_EXTRA: dict[str, Callable[[dict[str, Any]], None]] = {
    "method": _method_card,
    "metric": _metric_card,
    "dataset": _dataset_card,
}


def _images(batch: int, height: int, width: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """Smooth random pictures: fused and ir ``[B,1,H,W]``, vis ``[B,3,H,W]``, uint8."""
    import torch

    g = torch.Generator().manual_seed(seed)
    small = torch.rand(batch, 5, max(2, height // 6), max(2, width // 6), generator=g)
    big = torch.nn.functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)
    noisy = (big + 0.05 * torch.rand(big.shape, generator=g)).clamp(0, 1)
    levels = (noisy * 255).round().to(torch.uint8)
    return levels[:, :1], levels[:, 1:2], levels[:, 2:]


def _method(entry: Card, report: Report) -> None:
    import torch

    from fusionbench.evaluation.entries import entries
    from fusionbench.pixels.output_rule import OutputRule, render
    from fusionbench.plugins.method import Context

    rule = OutputRule(**entry.data.get("output", {}))
    with report.check("starts"):
        if entry.data.get("precomputed"):
            raise _SkipCheck("reads finished pictures; nothing to run")
        found, missing = entries(entry.name)
        if not found:
            raise _SkipCheck(str(missing[0]))
    if report.rows[-1][1] != "ok":
        return
    for one in found:
        label = f"{one.id}: "
        with report.check(label + "builds"):
            method = one.build("cpu")
        if not report.ok:
            return
        for height, width in ((48, 64), (37, 53)):
            with report.check(f"{label}fuses {height}x{width}"), torch.inference_mode():
                _, ir, vis = (x.float() / 255 for x in _images(2, height, width))
                before = ir.clone(), vis.clone()
                fused = method.fuse(ir, vis, Context(["a", "b"]))
                _need(
                    fused.shape in ((2, 1, height, width), (2, 3, height, width)),
                    f"fuse returned {list(fused.shape)} for 2 pairs of {height}x{width}",
                )
                _need(torch.isfinite(fused).all(), "fuse returned values that are not finite")
                _need(torch.equal(ir, before[0]) and torch.equal(vis, before[1]), "fuse changed its input")
                again = method.fuse(ir, vis, Context(["a", "b"]))
                _need(torch.equal(fused, again), "two calls on the same pair differ; inference must be deterministic")
                single = torch.cat(
                    [method.fuse(ir[i : i + 1], vis[i : i + 1], Context([n])) for i, n in enumerate("ab")]
                )
                worst = float((fused - single).abs().max())
                _need(worst <= 1e-4, f"a batch of two differs from two batches of one by {worst:.2g}")
                picture = render(fused, vis, rule)
                _need(picture.dtype == torch.uint8, "the output rule gave no 8-bit picture")


def _metric(entry: Card, report: Report) -> None:
    import torch

    function = resolve("metric", entry.name)
    size = max(64, int(entry.data.get("min_size", 1)))
    fused, ir, vis = _images(3, size, size + 9)
    vis = vis[:, :1]
    for name, variant in entry.data["variants"].items():
        options = variant.get("options", {})
        with report.check(f"@{name}: batch"):
            whole = function(fused, ir, vis, **options)
            _need(whole.shape == (3,), f"returned {list(whole.shape)} for a batch of 3; expected [3]")
            loop = torch.cat([function(fused[i : i + 1], ir[i : i + 1], vis[i : i + 1], **options) for i in range(3)])
            _need(
                torch.allclose(whole, loop, rtol=1e-9, atol=1e-12, equal_nan=True),
                f"a batch of 3 differs from 3 batches of one: {whole.tolist()} and {loop.tolist()}",
            )
        with report.check(f"@{name}: uint8 and float64 agree"):
            as_float = function(fused.double(), ir.double(), vis.double(), **options)
            _need(
                torch.allclose(function(fused, ir, vis, **options), as_float, rtol=1e-9, atol=1e-12, equal_nan=True),
                "uint8 and float64 input give different values",
            )
        with report.check(f"@{name}: range"):
            low, high = variant.get("range", entry.data["range"])
            values = function(fused, ir, vis, **options)
            values = values[~values.isnan()]
            _need(
                ((values >= low - 1e-9) & (values <= high + 1e-9)).all(), f"{values.tolist()} outside [{low}, {high}]"
            )


def _dataset(entry: Card, report: Report) -> None:
    import numpy as np

    adapter = resolve("dataset", entry.name)
    with report.check("write, read, same arrays"), tempfile.TemporaryDirectory() as scratch:
        from fusionbench.data import Sample

        _, ir, vis = _images(1, 48, 64)
        dataset = adapter(Path(scratch), entry)
        split = next(iter(entry.data["protocols"].values()))["split"]
        known = dataset.split(split).ids
        ident = known[0] if known else "00001"
        dataset.write(Sample(ident, split, ir[0].numpy(), vis[0].numpy()), split)
        again = adapter(Path(scratch), entry)
        _need(again.ids(split) == [ident], f"after writing one pair, ids({split!r}) is {again.ids(split)}")
        back = again.read(split, ident)
        # Layouts of jpg files are lossy by their nature.
        lossy = again.files(split, ident).vis.suffix.lower() in (".jpg", ".jpeg")
        for role, wrote, read in (("ir", ir, back.ir), ("vis", vis, back.vis)):
            _need(read.shape == tuple(wrote[0].shape), f"{role} came back as {read.shape}")
            far = int(np.abs(read.astype(int) - wrote[0].numpy().astype(int)).max())
            _need(lossy or far == 0, f"{role} came back changed by up to {far} grey levels")
        _need(len(again.hash(split, ident)) == 64, "hash is a SHA-256 in hex")


CONTRACTS: dict[str, Callable[[Card, Report], None]] = {"method": _method, "metric": _metric, "dataset": _dataset}
