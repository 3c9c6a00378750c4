"""The embedded scenes: same bytes, exact labels, every size, condition and preset, and neither camera enough alone."""

import ast
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from fusionbench import scenes
from fusionbench.plugins.cards import card, cards
from fusionbench.scenes import CLASS_ID, CLASSES, CONDITIONS, PRESETS, THINGS, scene

TARGETS = ("person", "car", "bus", "truck", "motorcycle", "bicycle")


def digest(s) -> str:
    parts = (s.ir, s.vis, s.classes, s.saliency, s.instance_map)
    text = repr((s.instances, s.condition, s.preset, s.seed)).encode()
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts) + text).hexdigest()


def check(s, size):
    """Everything that holds of any scene."""
    height, width = size
    assert s.ir.shape == size
    assert s.vis.shape == (height, width, 3)
    for plane in (s.ir, s.vis, s.classes, s.saliency):
        assert plane.dtype == np.uint8
    assert s.classes.shape == s.saliency.shape == s.instance_map.shape == size
    assert s.classes.max() < len(CLASSES)
    assert set(np.unique(s.saliency)) <= {0, 255}
    assert s.ir.std() > 3
    assert s.vis.std() > 1
    numbers = [i.index for i in s.instances]
    assert len(set(numbers)) == len(numbers)
    for i in s.instances:
        mask = s.instance_map == i.index
        rows, columns = np.nonzero(mask)
        assert i.cls in THINGS
        assert (s.classes[mask] == CLASS_ID[i.cls]).all()
        assert i.area == mask.sum() >= 16
        assert i.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert 0.25 <= i.visible_fraction <= 1
        assert i.distance > 0
    counted = s.instance_map > 0
    assert np.isin(s.classes[counted], [CLASS_ID[c] for c in THINGS]).all()
    # a counted class is never drawn outside an object
    assert not np.isin(s.classes[~counted], [CLASS_ID[c] for c in THINGS]).any()
    assert ((s.saliency > 0) <= counted).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_condition(preset):
    for k, condition in enumerate(CONDITIONS):
        s = scene(k, (96, 128), condition, preset)
        assert s.condition == condition
        assert s.preset == preset
        check(s, (96, 128))


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (101, 75), (64, 200), (256, 320), (480, 640)])
def test_every_size(size):
    check(scene(5, size, "dusk", "street"), size)
    check(scene(6, size, None, "llvip"), size)


def test_same_arguments_same_bytes():
    first = scene(3, (72, 96), None, "msrs")
    scene(4, (50, 60))
    np.random.seed(0)
    assert digest(scene(3, (72, 96), None, "msrs")) == digest(first)
    assert digest(scene(3, (72, 96), None, "fmb")) != digest(first)
    assert digest(scene(4, (72, 96), None, "msrs")) != digest(first)


def test_same_bytes_in_another_process():
    code = "import test_scenes as t; print(t.digest(t.scene(11, (72, 96), 'night', 'm3fd')))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert out.stdout.strip() == digest(scene(11, (72, 96), "night", "m3fd"))


def test_no_sum_depends_on_the_processor():
    """BLAS rounds as the processor at hand does: with AVX-512 one grey level of scenes-vt5000-fusion@v1 was another."""
    for path in Path(scenes.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.MatMult), path
            blas = {"dot", "matmul", "inner", "vdot", "vecdot", "tensordot", "einsum", "linalg"}
            assert not (isinstance(node, ast.Attribute) and node.attr in blas), path
    drawn = scene(1_000_003 + 14, (256, 320), "night", "vt5000")
    assert (
        hashlib.sha256(drawn.ir.tobytes() + drawn.vis.tobytes()).hexdigest()
        == "6b0221a187a7c49b4e518b1525b272841ccfed799a1d0ae05ef50d8ba8e54cff"
    )


BYTES = {  # of scenes as they were before any was varied, and of varied ones
    ("msrs", False): "a2ce4fe747b96a2f",
    ("m3fd", False): "dbc3fe9928b7e45c",
    ("llvip", False): "dc9933b6d4d75a1b",
    ("msrs", True): "cc9798b6f57a7032",
    ("m3fd", True): "4a8982936e9a2464",
    ("llvip", True): "b6e9030fd334549c",
}


@pytest.mark.parametrize(("preset", "varied"), BYTES)
def test_both_versions_give_the_bytes_that_tables_and_weights_were_made_of(preset, varied):
    drawn = [scene(k, (72, 96), condition, preset, varied) for k, condition in enumerate(("day", "night", "fog"))]
    pixels = b"".join(s.ir.tobytes() + s.vis.tobytes() for s in drawn)
    assert hashlib.sha256(pixels).hexdigest()[:16] == BYTES[preset, varied]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_varied_scene_is_the_same_scene_taken_otherwise(preset):
    for k in range(4):
        usual, other = (scene(k, (72, 96), None, preset, varied) for varied in (False, True))
        assert digest(other) == digest(scene(k, (72, 96), None, preset, True))
        for part in ("classes", "saliency", "instance_map", "instances", "condition"):
            assert np.array_equal(getattr(usual, part), getattr(other, part))
        assert not np.array_equal(usual.vis, other.vis)
        assert not np.array_equal(usual.ir, other.ir)


def test_varied_scenes_are_wider_than_others():
    """In brightness and contrast of both pictures, and in noise downwards."""
    sets = [[scene(k, (72, 96), "night", "msrs", varied) for k in range(24)] for varied in (False, True)]
    for part in ("ir", "vis"):
        usual, other = ([getattr(s, part).astype(float) for s in drawn] for drawn in sets)
        assert np.std([p.mean() for p in other]) > 1.2 * np.std([p.mean() for p in usual])
        assert min(p.mean() for p in other) < min(p.mean() for p in usual)
        assert min(p.std() for p in other) < 0.8 * min(p.std() for p in usual)
        fine = [[np.median(np.abs(ndimage.laplace(p))) for p in pictures] for pictures in (usual, other)]
        assert np.median(fine[1]) < 0.8 * np.median(fine[0])


def test_varied_scenes_reach_what_real_pictures_show():
    """Extremes of TNO, VIFB, M3FD and LLVIP (docs/data.md): nearly black nights, bright days, hardly any noise."""
    drawn = [scene(k, (120, 160), None, preset, True) for preset in ("msrs", "m3fd", "llvip") for k in range(10)]
    vis = [s.vis.astype(float) @ [0.299, 0.587, 0.114] for s in drawn]
    ir = [s.ir.astype(float) for s in drawn]
    assert min(p.mean() for p in vis) < 34 < 150 < max(p.mean() for p in vis)
    assert min(p.mean() for p in ir) < 75 < 145 < max(p.mean() for p in ir)
    assert max(np.percentile(p, 1) for p in ir) > 75  # not every camera's black is black
    assert min(p.std() for p in vis) < 21
    noise = [np.median(np.abs(ndimage.laplace(p))) * 1.4826 / np.sqrt(20) for p in ir]
    assert min(noise) < 0.7 < 1.5 < max(noise)


def test_conditions_follow_the_preset():
    drawn = {scene(k, (32, 40), None, "llvip").condition for k in range(12)}
    assert drawn <= {"night", "dusk"}


def test_salient_objects():
    for k in range(12):
        s = scene(k, (96, 128), None, "vt5000")
        assert s.saliency.any()
        marked = {CLASSES[c] for c in np.unique(s.classes[s.saliency > 0])}
        assert marked <= {"person", "car", "motorcycle", "bicycle", "color_cone", "sign"}


MAPPED = {n: c.facts.scenes for n, c in cards("dataset").items() if c.facts.scenes}


def test_layouts_map_known_classes_only():
    assert set(MAPPED) == {"msrs", "fmb", "m3fd", "llvip", "vt5000"}
    for name, rules in MAPPED.items():
        assert rules.preset in PRESETS
        classes = card("dataset", name).facts.classes
        for mapped, known in ((rules.masks, classes.segmentation), (rules.boxes, classes.boxes)):
            assert set(mapped) <= set(CLASSES)
            assert set(mapped.values()) <= set(known)


@pytest.mark.parametrize("layout", ["msrs", "fmb"])
def test_every_mask_class_is_produced(layout):
    names = MAPPED[layout].masks
    wanted = set(card("dataset", layout).facts.classes.segmentation) - {"Background", "unlabelled"}
    made = set()
    for k in range(60):
        pair = scene(k, (64, 80), "day", MAPPED[layout].preset)
        made |= {names.get(CLASSES[c]) for c in np.unique(pair.classes)}
        if made >= wanted:
            break
    assert made >= wanted


def test_every_box_class_is_produced():
    names, made = MAPPED["m3fd"].boxes, set()
    for k in range(40):
        made |= {names.get(i.cls) for i in scene(k, (128, 160), "day", "m3fd").instances}
        if made >= set(names.values()):
            break
    assert made >= set(names.values())


def test_arguments_are_checked():
    for wrong in ({"preset": "moon"}, {"condition": "hail"}, {"size": (8, 8)}):
        with pytest.raises(ValueError, match=r"preset|condition|size"):
            scene(0, **wrong)
    with pytest.raises(ValueError, match="seed"):
        scene(-1)


def test_cameras_see_the_light():
    night, day, fog = (scene(2, (96, 128), c, "msrs") for c in ("night", "day", "fog"))
    assert night.vis.mean() < 0.6 * day.vis.mean()
    assert fog.vis.std() < day.vis.std()
    people = [scene(k, (128, 160), "night", "llvip") for k in range(3)]
    for s in people:  # warm bodies at night
        body = s.classes == CLASS_ID["person"]
        assert np.median(s.ir[body]) > np.percentile(s.ir[~body], 80)


# -- neither camera suffices ---------------------------------------------------------------------------------


def local_features(planes):
    """Level, mean and spread over 5 and 13 pixels, [pixels, 5 * planes]."""
    out = []
    for p in planes:
        out.append(p)
        for side in (5, 13):
            mean = ndimage.uniform_filter(p, side)
            out += [mean, np.sqrt(np.maximum(ndimage.uniform_filter(p * p, side) - mean * mean, 0))]
    return np.stack(out, -1).reshape(-1, len(out))


def samples(seeds, condition):
    x, y = {"ir": [], "vis": [], "both": []}, []
    for seed in seeds:
        s = scene(seed, (128, 160), condition, "msrs")
        ir = local_features([s.ir / 255.0])
        vis = local_features(list(np.moveaxis(s.vis / 255.0, -1, 0)))
        pick = np.random.default_rng(seed).choice(len(ir), 1500, replace=False)
        for name, f in (("ir", ir), ("vis", vis), ("both", np.concatenate([ir, vis], 1))):
            x[name].append(f[pick])
        y.append(np.isin(s.classes, [CLASS_ID[c] for c in TARGETS]).ravel()[pick])
    return {k: np.concatenate(v) for k, v in x.items()}, np.concatenate(y)


def learn(x, y, tx, ty, width=250):
    """Average precision of a balanced random-feature ridge trained on x, y and tried on tx, ty."""
    mean, spread = x.mean(0), x.std(0) + 1e-6
    rng = np.random.default_rng(0)
    w = rng.normal(0, 1.2 / np.sqrt(x.shape[1]), (x.shape[1], width))
    shift = rng.uniform(0, 2 * np.pi, width)

    def lift(f):
        z = (f - mean) / spread
        return np.concatenate([np.cos(z @ w + shift), z, np.ones((len(z), 1))], 1)

    a, weight = lift(x), np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))[:, None]
    gram = (a * weight).T @ a + 1e-4 * len(a) * np.eye(a.shape[1])
    score = lift(tx) @ np.linalg.solve(gram, (a * weight).T @ (2.0 * y - 1))
    truth = ty[np.argsort(-score, kind="stable")]
    return float((np.cumsum(truth)[truth] / (np.flatnonzero(truth) + 1)).mean())


def learnt(condition, train, test):
    """Average precision of what is learnt from each camera and from both, on other scenes."""
    x, y = samples(range(train), condition)
    tx, ty = samples(range(500, 500 + test), condition)
    scores = {name: learn(x[name], y, tx[name], ty) for name in x}
    print(condition, {k: round(v, 3) for k, v in scores.items()})
    return scores


def test_infrared_is_needed_at_night():
    night = learnt("night", 8, 8)
    assert min(night["ir"], night["both"]) > night["vis"] + 0.08


@pytest.mark.slow
def test_neither_camera_alone_suffices():
    day, night = learnt("day", 20, 16), learnt("night", 20, 16)
    assert day["both"] > day["ir"] + 0.08
    assert night["both"] > night["vis"] + 0.08
    assert day["both"] > day["vis"]
    assert night["ir"] > night["vis"] + 0.08
    # what each camera is worse at depends on the light
    assert night["ir"] - night["vis"] > day["ir"] - day["vis"] + 0.08
