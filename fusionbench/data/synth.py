"""Generated trees: scenes written in the official layout of a dataset, through its own adapter.

The dataset's card says how: ``[scenes]`` names the generator's preset, ``[scenes.masks]`` and ``[scenes.boxes]`` map
the generator's classes to the names of the layout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from fusionbench.data import Boxes, Dataset, Origin, Sample
from fusionbench.data.dataset import DARK
from fusionbench.data.origin import ORIGIN, command, recorded, write_origin
from fusionbench.errors import FusionbenchError, PluginError, did_you_mean
from fusionbench.plugins.cards import DatasetCard, card, cards
from fusionbench.plugins.records import SceneFacts
from fusionbench.plugins.registry import resolve
from fusionbench.results.records import GENERATORS
from fusionbench.results.store import storage_error
from fusionbench.runtime.files import sweep
from fusionbench.scenes import CLASSES, CONDITIONS, PRESETS, THINGS, Scene, scene

MAX_SIDE = 4096  # pixels
MAX_SEED = (1 << 32) - 1
STRIDE = 1_000_003  # between the seeds of the two splits, so that they share no scene


def synth(
    like: str,
    out: Path,
    train: int,
    test: int,
    size: tuple[int, int],
    seed: int,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    generator: str = GENERATORS[0],
) -> Origin:
    """Write a generated dataset.

    The tree is marked as unfinished until all of it is there; until then no dataset is read from it, and a call with
    the same arguments makes it again in its place.

    Args:
        like: name of the dataset whose layout and classes to use.
        out: the dataset's folder; must be empty, not exist, or hold the unfinished tree of the same call.
        train, test: number of pairs; the split to test on is the first protocol's.
        size: (height, width) in pixels, 32 to 4096 each.
        seed: 0 to 2^32 - 1; same seed, same bytes.
        progress: called as (what, done, total).
        generator: one of :data:`fusionbench.results.records.GENERATORS`.

    Returns:
        What the tree records of itself.

    Raises:
        FusionbenchError: when the dataset has no mapping, the folder is in use, or size, seed or the number of pairs is
            out of range.
    """
    entry = card("dataset", like)
    rules = _rules(entry)
    if generator not in GENERATORS:
        raise FusionbenchError(f"generator={generator!r}; {did_you_mean(generator, GENERATORS)}")
    if train + test < 1:
        raise FusionbenchError("nothing to draw: train=0 and test=0; ask for at least one pair")
    _check_range(size, seed)
    dataset: Dataset = resolve("dataset", entry.name)(out, entry)
    counts = {"train": train, next((p.split for p in entry.facts.protocols.values()), "test"): test}
    origin = Origin(generator=generator, like=entry.name, seed=seed, size=size, counts=counts, unfinished=True)
    try:
        _check_new(out, origin)
        ids = {split: names(dataset, split, counts[split]) for split in counts}
        write_origin(out, origin)
        conditions = _draw(dataset, ids, origin, rules, progress)
        origin = msgspec.structs.replace(origin, conditions=conditions, unfinished=False)
        write_origin(out, origin)
    except OSError as error:
        raise storage_error(out, error) from None
    except MemoryError:
        raise FusionbenchError(
            f"size={size[0]}x{size[1]}: the memory does not suffice; choose a smaller size="
        ) from None
    return origin


def _draw(
    dataset: Dataset,
    ids: dict[str, list[str]],
    origin: Origin,
    rules: SceneFacts,
    progress: Callable[[str, int, int], None],
) -> dict[str, dict[str, str]]:
    """Write every pair; split to id to condition."""
    assert origin.size is not None
    assert origin.seed is not None
    conditions: dict[str, dict[str, str]] = {split: {} for split in ids}
    varied, done = origin.generator != GENERATORS[0], 0
    for number, split in enumerate(ids):
        first = (2 * origin.seed + number) * STRIDE
        for index, ident in enumerate(ids[split]):
            picture = scene(first + index, origin.size, _condition(ident, index), rules.preset, varied)
            dataset.write(sample(picture, ident, split, dataset, rules), split)
            conditions[split][ident] = picture.condition
            done += 1
            progress(f"drawing scenes like {dataset.card.title}", done, sum(origin.counts.values()))
    return conditions


def _rules(entry: DatasetCard) -> SceneFacts:
    """How scenes are written in a layout.

    Raises:
        FusionbenchError: they are not.
    """
    if entry.facts.scenes is None:
        able = [name for name, other in cards("dataset").items() if other.facts.scenes]
        raise FusionbenchError(
            f"scenes are not drawn in the layout of {entry.name}; choose another like=; there are: {', '.join(able)}"
        )
    check_scenes(entry)
    return entry.facts.scenes


def check_scenes(entry: DatasetCard) -> None:
    """Whether generator and layout have every name under ``[scenes]``.

    Raises:
        PluginError: one of them has not.
    """
    rules, classes = entry.facts.scenes or SceneFacts(preset=PRESETS[0]), entry.facts.classes
    named = [("", rules.preset, PRESETS)]
    named += [(".masks", name, CLASSES) for name in rules.masks]
    named += [(".masks", name, classes.segmentation) for name in rules.masks.values()]
    named += [(".boxes", name, THINGS) for name in rules.boxes]
    named += [(".boxes", name, classes.boxes) for name in rules.boxes.values()]
    for section, name, known in named:
        if name not in known:
            raise PluginError(f"{entry.path}: [scenes{section}] names {name!r}; {did_you_mean(name, known)}")


def _check_range(size: tuple[int, int], seed: int) -> None:
    if not all(32 <= side <= MAX_SIDE for side in size):
        raise FusionbenchError(f"size={size[0]}x{size[1]}: each side must have 32 to {MAX_SIDE} pixels")
    if not 0 <= seed <= MAX_SEED:
        raise FusionbenchError(f"seed={seed}: must be 0 to {MAX_SEED}")


def _check_new(out: Path, origin: Origin) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise FusionbenchError(f"{out}: a file, not a folder; name a new folder, nothing is overwritten")
    before = recorded(out)
    if before is not None and before.unfinished:
        if before == origin:
            for folder in (out, *(p for p in out.rglob("*") if p.is_dir())):
                sweep(folder, ".*.tmp")
            return
        raise FusionbenchError(
            f"{out}: an unfinished tree of other settings; finish it: {command(out, before)}, or remove the folder"
        )
    # a first file that was being written when the process was killed is nothing yet
    if any(not (p.name.startswith(f".{ORIGIN}.") and p.suffix == ".tmp") for p in out.iterdir()):
        raise FusionbenchError(f"{out}: not empty; name a new folder, nothing is overwritten")
    sweep(out, ".*.tmp")


def names(dataset: Dataset, split: str, count: int) -> list[str]:
    """Ids for so many images: the first of the split's own list where there is one, else numbers.

    Raises:
        FusionbenchError: when the list is shorter.
    """
    listed = dataset.split(split).ids if count else ()
    if listed is None:
        return [f"{split[:2]}{i:05d}" for i in range(count)]
    if count > len(listed):
        raise FusionbenchError(f"split {split} of {dataset.name} has {len(listed)} ids, {count} were asked")
    return list(listed[:count])


def _condition(ident: str, index: int) -> str:
    """All conditions in turn, except that names which tell day from night (MSRS: 00004N) are kept true."""
    if ident[-1:] in ("D", "N") and ident[:-1].isdigit():
        group = [c for c in CONDITIONS if (c in DARK) == (ident[-1] == "N")]
        return group[index % len(group)]
    return CONDITIONS[index % len(CONDITIONS)]


def sample(picture: Scene, ident: str, split: str, dataset: Dataset, rules: SceneFacts) -> Sample:
    """A scene with the labels of the target layout, in its class names."""
    pair = Sample(ident, split, picture.ir[None], np.ascontiguousarray(picture.vis.transpose(2, 0, 1)))
    if rules.masks:
        class_of = np.zeros(len(CLASSES), np.uint8)
        for index, name in enumerate(CLASSES):
            if name in rules.masks:
                class_of[index] = dataset.classes.index(rules.masks[name])
        pair.mask = class_of[picture.classes]
    if rules.boxes:
        objects = [i for i in picture.instances if i.cls in rules.boxes]
        labels = [dataset.box_classes.index(rules.boxes[i.cls]) for i in objects]
        pair.boxes = Boxes.of([i.box for i in objects], labels)
    if rules.saliency:
        pair.saliency = picture.saliency
    return pair
