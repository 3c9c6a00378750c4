"""Small generated samples in the layout of any dataset."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from fusionbench.data import Boxes, Dataset, Sample
from fusionbench.plugins.cards import Card, DatasetCard, card
from fusionbench.plugins.records import DatasetFacts
from fusionbench.plugins.registry import resolve

HEIGHT, WIDTH = 24, 40


def opened(name: str, root: Path, **options) -> Dataset:
    return resolve("dataset", name)(root, card("dataset", name), **options)


def card_of(folder: Path, **facts) -> DatasetCard:
    """The card of a dataset "mine", checked like one that is read from a file."""
    data = {"kind": "dataset", "name": "mine", "title": "Mine", "summary": "s", "object": "Mine", "version": "1"}
    data |= {"splits": [{"name": "test"}], **facts}
    return Card(msgspec.convert(data, DatasetFacts), folder / "mine.toml", "mine", folder / "mine.py", data)


def first_ids(dataset: Dataset, split: str, count: int = 3) -> list[str]:
    """Ids a split accepts: the first of its list, else numbers."""
    return list((dataset.split(split).ids or [f"{split}{i}" for i in range(count)])[:count])


def sample_for(dataset: Dataset, split: str, ident: str, seed: int = 0) -> Sample:
    """Random images, with every label the dataset has."""
    rng = np.random.default_rng([seed, *ident.encode()])
    ir = rng.integers(0, 256, (1, HEIGHT, WIDTH), np.uint8)
    vis = rng.integers(0, 256, (3, HEIGHT, WIDTH), np.uint8)
    sample = Sample(ident, split, ir, vis)
    if dataset.classes:
        sample.mask = rng.integers(0, len(dataset.classes), (HEIGHT, WIDTH), np.uint8)
        sample.mask[0, 0] = dataset.ignore_index
    if dataset.box_classes:
        count = len(dataset.box_classes)
        rows = [(i, i + 1, i + 7, i + 9.5) for i in range(count)]
        flags = [i == 1 for i in range(count)] if dataset.layout.voc else None
        sample.boxes = Boxes.of(rows, range(count), flags)
    if "sod" in dataset.task_classes:
        sample.saliency = np.where(rng.random((HEIGHT, WIDTH)) > 0.5, 255, 0).astype(np.uint8)
    return sample


def assert_same(got: Sample, want: Sample) -> None:
    for role in ("ir", "vis", "mask", "saliency"):
        a, b = getattr(got, role), getattr(want, role)
        assert (a is None) == (b is None), role
        if a is not None:
            assert a.dtype == np.uint8
            np.testing.assert_array_equal(a, b, err_msg=role)
    assert (got.boxes is None) == (want.boxes is None)
    if got.boxes is not None:
        np.testing.assert_allclose(got.boxes.xyxy, want.boxes.xyxy, atol=1e-9, rtol=0)
        np.testing.assert_array_equal(got.boxes.labels, want.boxes.labels)
        if want.boxes.difficult is not None:
            np.testing.assert_array_equal(got.boxes.difficult, want.boxes.difficult)
