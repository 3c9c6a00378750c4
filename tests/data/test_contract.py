"""What every dataset adapter promises: write, read, the same arrays, in every spelling of its folders."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from _data_samples import assert_same, first_ids, opened, sample_for
from PIL import Image

from fusionbench import environment
from fusionbench.data import find_root, open_dataset
from fusionbench.data.layout import SPELLINGS
from fusionbench.errors import DataError
from fusionbench.plugins.cards import card, cards
from fusionbench.plugins.registry import resolve

NAMES = list(cards("dataset"))
KEYS = ("licence", "get", "tree", "layout", "splits", "protocols")


def test_our_datasets_are_there():
    assert {"msrs", "fmb", "m3fd", "llvip", "vt5000", "tno", "roadscene", "vifb", "folder"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete(name):
    facts = card("dataset", name).facts
    assert not [key for key in KEYS if not getattr(facts, key)]
    assert facts.folders or facts.generic
    dataset = opened(name, "nowhere")
    assert len(dataset.palette) in (0, len(dataset.classes))
    assert len(set(dataset.palette)) == len(dataset.palette)
    aliases = facts.classes.box_aliases
    assert set(aliases.values()) <= set(dataset.box_classes)
    for split in dataset.splits():
        spec = dataset.split(split)
        assert spec.source
        if spec.ids is not None:
            assert spec.count == len(spec.ids) == len(set(spec.ids)) > 0
            assert spec.sha256 == hashlib.sha256(("\n".join(spec.ids) + "\n").encode()).hexdigest()
    for protocol in facts.protocols.values():
        assert protocol.split in dataset.splits()


@pytest.mark.parametrize("name", NAMES)
def test_write_read_same(name, tmp_path):
    writer = opened(name, tmp_path)
    for split in writer.splits():
        for ident in first_ids(writer, split):
            want = sample_for(writer, split, ident)
            writer.write(want, split)
            assert_same(writer.read(split, ident), want)
            again = opened(name, tmp_path)
            assert again.present()
            got = again.read(split, ident)
            assert_same(got, want)
            assert (got.id, got.split) == (ident, split)
            pair = again.pair(split, ident)
            assert pair.mask is None
            assert pair.boxes is None
            files = again.files(split, ident)
            raw = files.ir.read_bytes() + files.vis.read_bytes()
            assert again.hash(split, ident) == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_three_channel_infrared_and_grey_visible(name, make):
    split = next(iter(card("dataset", name).facts.protocols.values())).split
    dataset = make(name, split)
    first, second = dataset.ids(split)
    want = dataset.read(split, first)
    path = dataset.files(split, first).ir
    Image.fromarray(np.repeat(want.ir[0][..., None], 3, 2)).save(path)
    assert_same(dataset.read(split, first), want)
    path = dataset.files(split, second).vis
    Image.fromarray(want.vis[1]).save(path)
    np.testing.assert_array_equal(dataset.read(split, second).vis, np.repeat(want.vis[1:2], 3, 0))


def _spellings():
    for name in NAMES:
        layout = card("dataset", name).facts.layout
        for role, template in layout.items():
            official = template if isinstance(template, str) else template[0]
            part = next((p for p in official.split("/") if p.lower() in SPELLINGS[role]), None)
            for other in SPELLINGS[role] if part else ():  # MRI or source A have one spelling
                for spelt in dict.fromkeys((other, other.capitalize())):
                    if spelt != part:
                        yield pytest.param(name, role, part, spelt, id=f"{name}-{role}-{spelt}")


@pytest.mark.parametrize(("name", "role", "part", "spelt"), list(_spellings()))
def test_spellings(name, role, part, spelt, make):
    split = next(iter(card("dataset", name).facts.protocols.values())).split
    dataset = make(name, split, 1)
    ident = dataset.ids(split)[0]
    want = dataset.read(split, ident)
    old = getattr(dataset.files(split, ident), role)
    parts = ["\0" if p == part else p for p in old.relative_to(dataset.root).parts]
    new = dataset.root.joinpath(*[spelt if p == "\0" else p for p in parts])
    new.parent.mkdir(parents=True, exist_ok=True)
    old.rename(new)
    folder = dataset.layout.official(role, dataset.split(split).folders[0])
    if not any(folder.iterdir()):
        folder.rmdir()
    again = opened(name, dataset.root)
    assert again.ids(split) == [ident]
    assert getattr(again.files(split, ident), role) == new
    assert_same(again.read(split, ident), want)


@pytest.mark.parametrize("suffix", [".PNG", ".bmp", ".jpg", ".JPEG"])
def test_suffixes(suffix, make):
    dataset = make("msrs")
    ident = dataset.ids("test")[0]
    want = dataset.pair("test", ident)
    path = dataset.files("test", ident).ir
    path.unlink()
    target = path.with_suffix(suffix)
    Image.fromarray(want.ir[0]).save(target)
    got = opened("msrs", dataset.root).pair("test", ident)
    assert np.abs(got.ir.astype(int) - want.ir).mean() < (30 if "J" in suffix.upper() else 1)


def test_find_root(make, tmp_path):
    dataset = make("msrs", root=tmp_path / "data" / "msrs")  # lower case
    entry = dataset.card
    assert find_root(tmp_path / "data", entry) == dataset.root
    assert find_root(dataset.root, entry) == dataset.root
    assert find_root(tmp_path, entry) is None
    assert open_dataset("msrs", tmp_path / "data").ids("test") == dataset.ids("test")
    with pytest.raises(DataError, match=r"^fmb: not found under .*: looked for .*Infrared and .*Visible$"):
        open_dataset("fmb", tmp_path / "data")


def test_m3fd_unpacked_anywhere(make, tmp_path):
    dataset = make("m3fd", root=tmp_path / "data" / "M3FD")
    inner = dataset.root / "M3FD_Detection"
    assert find_root(tmp_path / "data", dataset.card) == dataset.root
    assert find_root(inner, dataset.card) == inner
    assert opened("m3fd", inner).ids("test") == dataset.ids("test")
    shutil.move(inner, tmp_path / "M3FD_Detection")
    assert find_root(tmp_path, dataset.card) == tmp_path


def test_m3fd_split_folders_of_other_programs(make):
    dataset = make("m3fd")
    want = dataset.read("test", "00000")
    for role in ("Ir", "Vis", "Annotation"):
        folder = dataset.root / "M3FD_Detection" / role
        (folder / "test").mkdir()
        for path in [p for p in folder.iterdir() if p.is_file()]:
            path.rename(folder / "test" / path.name)
    again = opened("m3fd", dataset.root)
    assert_same(again.read("test", "00000"), want)


def test_vt5000_folder_names(make):
    dataset = make("vt5000")
    want = dataset.read("test", dataset.ids("test")[0])
    os.rename(dataset.root / "Test", dataset.root / "VT5000-Test")
    assert_same(opened("vt5000", dataset.root).read("test", want.id), want)


def test_names_that_differ_in_case(make):
    dataset = make("vifb", count=1)
    ident = dataset.ids("test")[0]
    path = dataset.files("test", ident).ir
    path.rename(path.with_name(path.name.upper()))
    again = opened("vifb", dataset.root)
    assert again.ids("test") == [ident]
    assert again.pair("test", ident).ir.shape == (1, 24, 40)


def test_another_suffix_per_partner(make):
    dataset = make("folder", "all")
    path = dataset.files("all", "all0").vis
    path.rename(path.with_suffix(".BMP"))  # the content decides, not the suffix
    assert opened("folder", dataset.root).ids("all") == ["all0", "all1"]
    assert opened("folder", dataset.root).pair("all", "all0").vis.shape == (3, 24, 40)


def test_png_before_jpg(make):
    dataset = make("folder", "all", 1)
    path = dataset.files("all", "all0").ir
    Image.new("L", (40, 24)).save(path.with_suffix(".jpg"))
    assert opened("folder", dataset.root).files("all", "all0").ir == path


def test_write_does_not_make_a_second_file(make):
    dataset = make("llvip", count=1)
    sample = dataset.read("test", "test0")
    path = dataset.files("test", "test0").ir
    path.rename(path.with_suffix(".jpg"))
    with pytest.raises(DataError, match=r"test0\.jpg: test0 is there already; write into an empty folder"):
        opened("llvip", dataset.root).write(sample, "test")


def test_no_torch():
    code = (
        "import sys, fusionbench.data, fusionbench.data.checks; assert 'torch' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plugin_dataset(tmp_path, monkeypatch):
    """A stranger's dataset is a card and three lines."""
    (tmp_path / "mine.py").write_text("from fusionbench.data import Dataset\nclass Mine(Dataset):\n    pass\n")
    (tmp_path / "mine.toml").write_text(
        'kind = "dataset"\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nobject = "Mine"\nversion = "1"\n'
        '[layout]\nir = "thermal"\nvis = "rgb"\n[[splits]]\nname = "test"\n'
        "[protocols]\n"
    )
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path))
    environment.apply()
    dataset = resolve("dataset", "mine")(tmp_path / "data", card("dataset", "mine"))
    want = sample_for(dataset, "test", "a")
    dataset.write(want, "test")
    assert (tmp_path / "data" / "thermal" / "a.png").is_file()
    assert_same(resolve("dataset", "mine")(tmp_path / "data", card("dataset", "mine")).read("test", "a"), want)
