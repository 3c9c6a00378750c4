"""Pairs that are not infrared and visible: medical, multi-focus, multi-exposure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.conftest import fusionbench

FOLDERS = {
    "medical": ("MRI_SPECT/MRI", "MRI_SPECT/SPECT"),
    "multifocus": ("lytro/A", "lytro/B"),
    "multiexposure": ("mefb/under", "mefb/over"),
}
SPLITS = {"medical": "mri-spect", "multifocus": "lytro", "multiexposure": "mefb"}
WORDS = {
    "medical": ("MRI", "PET, SPECT or CT"),
    "multifocus": ("source A, focused near", "source B, focused far"),
    "multiexposure": ("the under-exposed image", "the over-exposed image"),
}
RELEASED = {"medical": "mif", "multifocus": "mfif", "multiexposure": "meif"}


def scene(seed: int) -> Image.Image:
    """Patches of colour with some texture, 112x96."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 220, (6, 7, 3), dtype=np.uint8)).resize((112, 96))
    return Image.fromarray((np.asarray(coarse) + rng.normal(0, 12, (96, 112, 1))).clip(0, 255).astype(np.uint8))


def pair(name: str, seed: int) -> tuple[Image.Image, Image.Image]:
    image = scene(seed)
    if name == "medical":
        return image.convert("L").point(lambda v: 255 - v), image
    if name == "multiexposure":
        return image.point(lambda v: v * 0.4), image.point(lambda v: min(255, v * 1.7))
    blurred = image.filter(ImageFilter.GaussianBlur(3))
    near, far = image.copy(), blurred.copy()
    near.paste(blurred.crop((56, 0, 112, 96)), (56, 0))
    far.paste(image.crop((56, 0, 112, 96)), (56, 0))
    return near, far


def tree(root: Path, name: str, count: int = 2) -> Path:
    for folder, role in zip(FOLDERS[name], (0, 1), strict=True):
        (root / name / folder).mkdir(parents=True)
        for number in range(count):
            pair(name, number)[role].save(root / name / folder / f"{number:02}.png")
    return root


@pytest.mark.parametrize("name", FOLDERS)
def test_a_table_in_the_words_of_the_field(name: str, tmp_path: Path) -> None:
    root = tree(tmp_path, name)
    done = fusionbench("eval", "--methods", "average,laplacian", "--datasets", f"{name}={root / name}",
                       "--split", SPLITS[name], "--out", tmp_path / "r")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(", ")[2] for line in done.stderr.splitlines() if "warning" in line] == ["partial"]
    first, second = WORDS[name]
    assert f"Infrared stands for {first}, visible for {second}." in " ".join(done.stdout.split())
    table = (tmp_path / "r").rglob("*.csv")
    held = [
        line.split(",") for line in next(table).read_text().splitlines() if line.startswith(("average", "laplacian"))
    ]
    assert len(held) == 2
    assert all(cell for row in held for cell in row)


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_wrong_is_said_in_those_words(name: str, tmp_path: Path) -> None:
    root, (first, second) = tree(tmp_path, name), WORDS[name]
    (root / name / FOLDERS[name][0] / "01.png").unlink()
    Image.new("L", (112, 96), 7).save(root / name / FOLDERS[name][1] / "00.png")
    done = fusionbench("data", "check", f"{name}={root / name}", "--split", SPLITS[name])
    text = " ".join((done.stdout + done.stderr).split())
    assert f"the {first} partner of" in text
    assert f"{second} is the same level everywhere" in text
    assert "infrared" not in text.lower()
    assert "visible" not in text.lower()


@pytest.mark.real
@pytest.mark.parametrize("name", FOLDERS)
def test_refusion_has_a_place(name: str, tmp_path: Path, shared: Path) -> None:
    weights = shared / f"weights/ReFusion/ReFusion_{RELEASED[name].upper()}.pth"
    assert fusionbench("weights", "add", "refusion", weights).returncode == 0
    root = tree(tmp_path, name)
    done = fusionbench("eval", "--methods", f"refusion[{RELEASED[name]}]", "--datasets", name, "--data-root", root,
                       "--split", SPLITS[name], "--out", tmp_path / "r")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"refusion[{RELEASED[name]}]" in done.stdout
    assert len(list((tmp_path / "r").rglob("0[01].png"))) == 2
