"""A small results store, made quickly: six pairs, four ranked methods, one that is not, sources, a second evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionbench.evaluation.protocol import metric, metrics_of
from fusionbench.pixels.images import picture_digest, write_image
from fusionbench.results.records import EntryInfo, Hardware, Made, PlanInfo, PlannedBoard, Run, WeightsInfo
from fusionbench.results.store import Fused, Score, Store
from tests.harness.test_store import board, entry, task_result

EIGHT = ("en@bits", "sf@mean", "scd@sum", "vif@tdfusion", "qabf@released", "ssim@tdfusion", "mi@bits", "qcv@liu2012")
IDS = ("00001D", "00002N", "00003D", "00004N", "00005D", "00006N")
HERE = {"dataset": "msrs", "title": "MSRS", "expected": len(IDS), "protocol": "msrs-fusion@v1"}


def usual() -> list[EntryInfo]:
    """Entries of methods that are here."""
    weights = WeightsInfo(name="msrs", sha256="ab" * 32, trained_on="MSRS (1083 training pairs)", listed=False)
    return [
        entry(id="infrared", method="infrared", title="Infrared", source_only=True),
        entry(id="visible", method="visible", title="Visible", source_only=True),
        entry(id="gff", options={"r1": 45}),
        entry(id="laplacian", method="laplacian", title="Laplacian pyramid"),
        entry(id="seafusion[msrs]", method="seafusion", title="SeAFusion", weights=weights),
        entry(id="average", method="average", title="Average"),
        entry(id="adf", method="adf", title="ADF", unverified="no published pictures at hand"),
    ]


def fill(
    folder: Path, entries: Sequence[EntryInfo] = (), ids: Sequence[str] = IDS, seed: int = 0, **facts: object
) -> Path:
    """Make a store with real pictures of noise and drawn scores; the earlier an entry the better it is."""
    rng = np.random.default_rng(seed)
    every = {m.id: m for m in [*map(metric, EIGHT), *metrics_of("cddfuse", None, "grey"), metric("sd")]}
    own = board(**{**HERE, "expected": len(ids), "metrics": EIGHT, "own_metrics": EIGHT, **facts})
    with Store(folder) as store:
        made = store.put_maker(Made(libraries={"torch": "2.9"}, processor="A processor"))
        store.put_board(own, [(i, f"pair {i}") for i in ids], ids)
        shown = list(entries) or usual()
        for number, info in enumerate(shown):
            key = f"key {info.id}"
            store.put_entry(key, info)
            scores = []
            for place, ident in enumerate(ids):
                pixels = rng.integers(0, 256, (3, 24, 32), dtype=np.uint8)
                path, image = f"fused/{number}/{place}.png", picture_digest(pixels)
                write_image(folder / path, pixels)
                store.put_fused(key, own.dataset, own.split, ident, Fused(f"pair {ident}", image, path, made))
                for m in every.values():
                    good = 0.5 + (0.04 if m.up else -0.04) * (4 - number) + 0.02 * rng.standard_normal()
                    scores.append(Score(image, f"pair {ident}", m.id, m.code, float(good), made))
            store.put_scores(scores)
            network = {"task": "segmentation", "network": "segformer-b0", "images": len(ids)}
            miou = {"all": {"miou@tdfusion": 0.5 - number / 100}}
            for seed_ in (0, 1):
                store.put_task(key, own.dataset, own.split, task_result(seed_, scores=miou, per_class={}, **network))
        store.put_run(run(shown, own))
    return folder


def run(entries: Sequence[EntryInfo], own: object) -> Run:
    """Provenance of the run that made it."""
    planned = PlannedBoard(**{f: getattr(own, f) for f in own.__struct_fields__}, images=len(IDS))  # type: ignore[attr-defined]  # a record
    hardware = Hardware(cpu="A processor", cores=2, memory_gib=8.0, gpus=(), machine="x86_64", system="Linux")
    return Run(
        command="fusionbench eval --all",
        started="2026-11-27T12:00:00Z",
        wall_seconds=1.0,
        fusionbench="0.1.0",
        commit="c0ffee",
        python="3.11",
        libraries={"torch": "2.9"},
        hardware=hardware,
        seed=None,
        plan=PlanInfo(entries=tuple(entries), sources=(planned,), skipped=(), device="cpu", jobs=1),
        fused=1,
        scored=1,
    )
