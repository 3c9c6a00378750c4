"""The contract of a dataset."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from fusionbench.data import Dataset, Sample
from fusionbench.evaluation.contract.report import Report, need
from fusionbench.evaluation.contract.samples import sample_images
from fusionbench.plugins.cards import DatasetCard
from fusionbench.plugins.registry import resolve


def check_dataset(entry: DatasetCard, report: Report) -> None:
    """What is written in the layout is found and read again."""
    adapter: type[Dataset] = resolve("dataset", entry.name)
    with report.check("write, read, same arrays"), tempfile.TemporaryDirectory() as scratch:
        _, ir, vis = (picture[0].numpy() for picture in sample_images(1, 48, 64))
        dataset = adapter(Path(scratch), entry)
        split = next(iter(entry.facts.protocols.values())).split
        known = dataset.split(split).ids
        ident = known[0] if known else "00001"
        dataset.write(Sample(ident, split, ir, vis), split)
        again = adapter(Path(scratch), entry)
        need(again.ids(split) == [ident], f"after writing one pair, ids({split!r}) is {again.ids(split)}")
        sample = again.read(split, ident)
        file = again.files(split, ident).vis
        lossy = file is not None and file.suffix.lower() in (".jpg", ".jpeg")
        for role, written, read in (("ir", ir, sample.ir), ("vis", vis, sample.vis)):
            need(read.shape == written.shape, f"{role} came back as {read.shape}")
            far = int(np.abs(read.astype(int) - written.astype(int)).max())
            need(lossy or far == 0, f"{role} came back changed by up to {far} grey levels")
        need(len(again.hash(split, ident)) == 64, "hash is a SHA-256 in hex")
