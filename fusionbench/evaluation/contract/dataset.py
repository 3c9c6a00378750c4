"""The contract of a dataset."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from fusionbench.data import Boxes, Dataset, Sample
from fusionbench.data.synth import check_scenes
from fusionbench.evaluation.contract.report import Report, SkippedCheck, need
from fusionbench.evaluation.contract.samples import sample_images
from fusionbench.plugins.cards import DatasetCard
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.trainable import trainings
from fusionbench.training.request import TrainRequest


def check_dataset(entry: DatasetCard, report: Report) -> None:
    """What is written in the layout is found and read again, labels too; the card names what scenes and layout have."""
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
    if not report.passed:
        return
    with report.check("labels: write, read, same"), tempfile.TemporaryDirectory() as scratch:
        _labels(adapter(Path(scratch), entry), split, Sample(ident, split, ir, vis))
    if entry.facts.scenes:
        with report.check("generated scenes: names"):
            check_scenes(entry)
    if entry.facts.training:
        with report.check("training: recipes and settings"):
            _trainings(entry)


def _trainings(entry: DatasetCard) -> None:
    """What the card says is learnt from it is there, and has the settings that it changes."""
    for rule in entry.facts.training:
        found = [training for training in trainings() if rule.recipe in (training.name, training.card.name)]
        need(bool(found), f"[[training]] names {rule.recipe!r}, which nothing to train is called")
        for training in found:
            known = (*training.datasets, "")
            need(rule.like in known, f"[[training]] of {rule.recipe}: like is one of {', '.join(known[:-1])}")
            request = TrainRequest(name=training.name, datasets=(entry.name,), stage=training.stage or None)
            request.settings_text()


def _labels(dataset: Dataset, split: str, sample: Sample) -> None:
    """Every class once, as mask, box, saliency map, of those that the layout has."""
    if not any(map(dataset.layout.has, ("mask", "boxes", "saliency"))):
        raise SkippedCheck("the layout has none")
    height, width = sample.ir.shape[1:]
    if dataset.layout.has("mask"):
        sample.mask = np.broadcast_to(np.arange(width) % len(dataset.classes), (height, width)).astype(np.uint8)
    if dataset.layout.has("boxes"):
        labels = range(len(dataset.box_classes))
        sample.boxes = Boxes.of([(label % 50 + 1, 2, label % 50 + 9, 31) for label in labels], labels)
    if dataset.layout.has("saliency"):
        sample.saliency = np.where(np.arange(height * width).reshape(height, width) % 2, 255, 0).astype(np.uint8)
    dataset.write(sample, split)
    again = type(dataset)(dataset.root, dataset.card).read(split, sample.id)
    for role in ("mask", "saliency"):
        need(np.array_equal(getattr(sample, role), getattr(again, role)), f"{role} came back changed, or not at all")
    if sample.boxes is not None:
        need(again.boxes is not None, "boxes did not come back")
        assert again.boxes is not None
        same = np.array_equal(sample.boxes.labels, again.boxes.labels)
        need(same and np.allclose(sample.boxes.xyxy, again.boxes.xyxy, atol=1e-3), "boxes came back changed")
