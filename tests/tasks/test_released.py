"""YOLOX that others trained on COCO: files of theirs, how they see pictures, which of their boxes count."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _networks import need
from torch import Tensor

from fusionbench.errors import FusionbenchError
from fusionbench.tasks import detection
from fusionbench.tasks.detection.released import COCO, CONVENTIONS, Letterboxed, letterbox
from fusionbench.tasks.detection.yolox_onnx import Convolution, placed, places, read
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.network import IMAGENET_MEAN, IMAGENET_STD, Target
from fusionbench.tasks.openmmlab.packages import nms
from fusionbench.tasks.openmmlab.yolox import kept
from tests.conftest import _absent, fusionbench

YOLOX_PYTORCH = CONVENTIONS["yolox-pytorch"]
# By onnxruntime of yolox_nano.onnx from `formula()`: of each level, at a third of its rows and a fifth of its columns,
# left, top, width, height, objectness and three classes as the network gives them; then the mean of all magnitudes.
GOLDEN = {
    80: ([-0.13566, -0.14449, 2.0568, 1.73952, -10.71082, -5.48966, -10.15442, -6.59103], 6.65241),
    40: ([1.34677, 1.08244, 3.09435, 3.05148, -9.1975, -5.943, -11.70892, -10.95124], 6.99225),
    20: ([2.08896, 2.23159, 2.48316, 2.77764, -3.93281, -3.82225, -5.21916, -7.7852], 7.11756),
}


@pytest.fixture(scope="module", autouse=True)
def _mmdet() -> None:
    need("mmdet")


def library(name: str) -> Any:
    """`onnx` or `onnxruntime`, or a skip."""
    try:
        return __import__(name)
    except ModuleNotFoundError as error:
        _absent("onnx", str(error))


@pytest.fixture
def file(shared: Path) -> Path:
    library("onnx")
    path = shared / "weights/YOLOX-nano/yolox_nano.onnx"
    if not path.is_file():
        _absent("real", f"no {path}")
    return path


def nano(file: Path) -> Any:
    network = detection.build("yolox-nano", len(COCO)).eval()
    network.load_state_dict(read(file, network))
    return network


def raw(network: Any, x: Tensor) -> list[Tensor]:
    """Every level as ``[B,85,H,W]``, of what the detector sees when it is normalised."""
    with torch.no_grad():
        classes, sides, objects = network.model.bbox_head(network.model.extract_feat(x))
    return [torch.cat(level, 1) for level in zip(sides, objects, classes, strict=True)]


def formula() -> Tensor:
    c, i, j = np.meshgrid(np.arange(3), np.arange(640), np.arange(640), indexing="ij")
    waves = (0.5 + 0.5 * np.sin(0.013 * (c + 1) * i + 0.017 * j + 0.0001 * i * j)).astype(np.float32)
    mean, std = (np.array(v, np.float32)[:, None, None] / 255 for v in (IMAGENET_MEAN, IMAGENET_STD))
    return torch.from_numpy((waves - mean) / std)[None].float()


@pytest.mark.real
def test_the_file_gives_what_onnxruntime_gives(file: Path):
    runtime = library("onnxruntime").InferenceSession(str(file))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 640, 640)).astype(np.float32))
    flat, start = runtime.run(None, {"images": x.numpy()})[0][0], 0
    for level in raw(nano(file), x):
        count = level.shape[2] * level.shape[3]
        theirs = flat[start : start + count].reshape(85, count)  # not in the order of its shape
        start += count
        ours = level[0].flatten(1).numpy()
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
        assert np.abs(1 / (1 + np.exp(-ours[4:])) - 1 / (1 + np.exp(-theirs[4:]))).max() <= 1e-4
    assert start == len(flat)


@pytest.mark.real
def test_the_file_gives_committed_numbers(file: Path):
    for level in raw(nano(file), formula()):
        size = level.shape[2]
        numbers, magnitude = GOLDEN[size]
        assert level[0, :8, size // 3, size // 5].tolist() == pytest.approx(numbers, abs=1e-4)
        assert float(level.abs().mean()) == pytest.approx(magnitude, abs=1e-4)


def random(name: str) -> Any:
    """A network whose normalisations do something."""
    torch.manual_seed(3)
    network = detection.build(name, len(COCO)).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.3)
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
    return network


def folded(network: Any) -> list[Convolution]:
    """Its convolutions as an exporter leaves them."""
    found = []
    for place in places(network):
        layer, weight, bias = place.layer, place.layer.weight.data, place.layer.bias
        if place.norm:
            norm = network.get_submodule(place.norm)
            factor = norm.weight.data / (norm.running_var + norm.eps).sqrt()
            weight, bias = weight * factor[:, None, None, None], norm.bias.data - norm.running_mean * factor
        form = (layer.stride[0], layer.padding[0], layer.groups)
        found.append(Convolution(place.called or str(len(found)), weight.clone(), bias.detach().clone(), *form))
    return found


@pytest.mark.parametrize("name", ["yolox-nano", "yolox-tiny", "yolox-s"])
def test_folded_convolutions_come_back(name: str):
    network, again = random(name), detection.build(name, len(COCO)).eval()
    again.load_state_dict(placed(Path("x.onnx"), folded(network), again))
    x = torch.randn(1, 3, 96, 128)
    for ours, theirs in zip(raw(again, x), raw(network, x), strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def exported(path: Path, given: list[Convolution], change: Callable[[Any], None] = lambda graph: None) -> Path:
    """A graph of these convolutions, whose other nodes are as many as YOLOX has."""
    onnx = library("onnx")
    held, nodes = [], []
    for number, c in enumerate(given):
        held += [onnx.numpy_helper.from_array(v.numpy(), n) for v, n in ((c.weight, c.name), (c.bias, f"b{number}"))]
        form = {"strides": [c.stride] * 2, "pads": [c.padding] * 4, "group": c.groups}
        kernel = list(c.weight.shape[2:])
        inputs = ["x", c.name, f"b{number}"]
        nodes.append(onnx.helper.make_node("Conv", inputs, [f"y{number}"], f"c{number}", kernel_shape=kernel, **form))
        if "_preds." not in c.name:
            nodes.append(onnx.helper.make_node("Sigmoid", [f"y{number}"], [f"z{number}"]))
    nodes += [onnx.helper.make_node("MaxPool", ["x"], [f"p{k}"], kernel_shape=[k, k]) for k in (5, 9, 13)]
    graph = onnx.helper.make_graph(nodes, "yolox", [], [], held)
    change(graph)
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


def test_a_graph_is_read(tmp_path: Path):
    network = detection.build("yolox-nano", len(COCO))
    given = folded(random("yolox-nano"))
    state, wanted = read(exported(tmp_path / "n.onnx", given), network), placed(tmp_path, given, network)
    assert state.keys() == wanted.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in wanted.items())


def elsewhere(graph: Any) -> None:
    tensor = graph.initializer[0]
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")


def huge(graph: Any) -> None:
    graph.initializer[0].dims[:] = [1 << 40, 1 << 40]


def infinite(graph: Any) -> None:
    graph.initializer[0].raw_data = np.full(graph.initializer[0].dims, np.inf, "<f4").tobytes()


def cut(graph: Any) -> None:
    graph.initializer[0].raw_data = graph.initializer[0].raw_data[:-1]


def other_operator(graph: Any) -> None:
    graph.node[1].op_type = "If"


def unfolded(graph: Any) -> None:
    graph.node[1].op_type = "BatchNormalization"


def no_bias(graph: Any) -> None:
    del graph.node[0].input[2]


def fewer(graph: Any) -> None:
    del graph.node[:2]


def dilated(graph: Any) -> None:
    graph.node[0].attribute.add(name="dilations", type=7, ints=[2, 2])


def strided(graph: Any) -> None:
    next(a for a in graph.node[0].attribute if a.name == "strides").ints[:] = [2, 2]


def renamed(graph: Any) -> None:
    (node,) = (n for n in graph.node if "head.obj_preds.1.weight" in n.input)
    node.input[1] = "head.reg_preds.1.weight"


def half(graph: Any) -> None:
    graph.initializer[0].data_type = 10


def other_pool(graph: Any) -> None:
    graph.node[-1].attribute[0].ints[:] = [3, 3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (elsewhere, "lie in another file"),
        (huge, "numbers for the shape"),
        (infinite, "infinite"),
        (cut, "in whole ones"),
        (other_operator, "the operator 'If'"),
        (unfolded, "export it with normalisation folded in"),
        (no_bias, "no weight and bias"),
        (fewer, "112 convolutions, this YOLOX has 113"),
        (dilated, "a form that YOLOX has not"),
        (strided, "stride 2"),
        (renamed, "'head.reg_preds.1.weight' stands where head.obj_preds.1.weight is expected"),
        (half, "not single precision"),
        (other_pool, "its activations or pools are others"),
    ],
)
def test_a_strange_graph_is_refused(change: Callable[[Any], None], said: str, tmp_path: Path):
    network = detection.build("yolox-nano", len(COCO))
    path = exported(tmp_path / "n.onnx", folded(random("yolox-nano")), change)
    with pytest.raises(FusionbenchError) as caught:
        read(path, network)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path):
    library("onnx")
    network = detection.build("yolox-nano", len(COCO))
    for content in (b"", b"\x00" * 100, b"not a graph", exported(tmp_path / "n", folded(network)).read_bytes()[:-999]):
        (tmp_path / "n.onnx").write_bytes(content)
        with pytest.raises(FusionbenchError, match=r"n\.onnx: "):
            read(tmp_path / "n.onnx", network)
    with pytest.raises(FusionbenchError, match=r"cannot be read \(No such file"):
        read(tmp_path / "missing.onnx", network)


def test_a_picture_is_fitted_in():
    rule = CONVENTIONS["mmdet-416"]
    seen, scale = letterbox(torch.full((1, 3, 208, 104), 0.25), rule)
    assert seen.shape == (1, 3, 416, 416)
    assert scale == [2, 2, 2, 2]
    assert seen[..., :208].unique().tolist() == pytest.approx([0.25])
    assert seen[..., 208:].unique().tolist() == pytest.approx([114 / 255])
    seen, scale = letterbox(torch.zeros(1, 3, 768, 1024), YOLOX_PYTORCH)
    assert scale == [0.625] * 4
    assert (seen[0, 0, :480] == 0).all()
    assert seen[0, 0, 480:].unique().tolist() == pytest.approx([128 / 255])
    untouched = torch.rand(1, 3, 480, 640)
    assert torch.equal(letterbox(untouched, YOLOX_PYTORCH)[0][:, :, :480], untouched)


class OneObject(torch.nn.Module):
    """The parts of a YOLOX that see one object whatever the picture: in row 10, column 20 of the finest level."""

    def extract_feat(self, x: Tensor) -> Tensor:
        return x

    def bbox_head(self, x: Tensor) -> list[list[Tensor]]:
        levels: list[list[Tensor]] = [[], [], []]
        for stride in (8, 16, 32):
            for part, channels in zip(levels, (80, 4, 1), strict=True):
                part.append(torch.full((1, channels, x.shape[2] // stride, x.shape[3] // stride), -20.0))
        levels[0][0][0, [2, 7], 10, 20] = torch.tensor([2.0, 1.0])
        levels[1][0][0, :, 10, 20] = torch.tensor([0.5, 0.25, np.log(4), np.log(2)], dtype=torch.float)
        levels[2][0][0, 0, 10, 20] = 1
        return levels


@pytest.mark.parametrize("name", CONVENTIONS)
def test_boxes_are_the_pictures(name: str):
    rule = CONVENTIONS[name]
    network = detection.build("yolox-nano", len(COCO))
    network.model = OneObject()
    boxed = Letterboxed(network, rule)
    side = 8 * np.array([20.5 - 2, 10.25 - 1, 20.5 + 2, 10.25 + 1])  # middle and half of width and height, times stride
    for factor in (1, 2, 0.5):
        size = [round(length * factor) for length in (rule.size[0] * 3 // 4, rule.size[1])]
        (found,) = boxed.predict(torch.rand(1, 3, *size))
        assert found.labels.tolist() == ([2, 7] if rule.every else [2])
        for box in found.boxes.tolist():
            assert box == pytest.approx((side * factor).tolist(), rel=1e-5)
        sigmoid = [1 / (1 + np.exp(-v)) for v in (1, 2, 1)]
        wanted = [sigmoid[0] * sigmoid[1], sigmoid[0] * sigmoid[2]][: len(found.scores)]
        assert found.scores.tolist() == pytest.approx(wanted, rel=1e-5)
    (found,) = boxed.predict(torch.rand(1, 3, rule.size[0], 160))  # the box begins inside and ends outside
    assert found.boxes[0].tolist() == pytest.approx([148, 74, 160, 90], rel=1e-5)


def test_a_released_network_learns_on():
    network = Letterboxed(detection.build("yolox-nano", len(COCO)), CONVENTIONS["mmdet-416"])
    images = torch.rand(1, 3, 60, 80, requires_grad=True)
    network.loss(images, [Target(boxes=torch.tensor([[10.0, 10, 40, 50]]), labels=torch.tensor([3]))]).backward()
    assert images.grad.abs().sum() > 0
    assert network.features(images).shape[2:] == (13, 13)
    with pytest.raises(FusionbenchError, match="channels=1"):
        Letterboxed(detection.build("yolox-nano", len(COCO), channels=1), CONVENTIONS["mmdet-416"])


def test_which_boxes_count():
    """Against the rule box by box: what is over the score, is not under a better box of its class, at most so many."""
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 40, (60, 2))
    boxes = torch.from_numpy(np.concatenate((corner, corner + rng.uniform(8, 20, (60, 2))), 1)).float()
    scores = torch.from_numpy(rng.uniform(0, 0.5, (60, 3))).float()
    for every in (True, False):
        rows = []
        for label in range(3):
            own = [n for n in range(60) if scores[n, label] > 0.1 and (every or int(scores[n].argmax()) == label)]
            own.sort(key=lambda n: -float(scores[n, label]))
            free: list[int] = []
            for n in own:
                if all(len(nms(boxes[[m, n]], torch.tensor([2.0, 1.0]), 0.4)) == 2 for m in free):
                    free.append(n)
            rows += [(float(scores[n, label]), label, boxes[n].tolist()) for n in free[:5]]
        got = kept(boxes, scores, 0.1, 0.4, 5, every)
        assert sorted(rows) == sorted(zip(got[1].tolist(), got[2].tolist(), got[0].tolist(), strict=True))
        assert (got[1].diff() <= 0).all()
    assert [len(part) for part in kept(boxes, scores, 0.6, 0.4, 5, True)] == [0, 0, 0]


def test_weights_of_mmdetection_by_name(tmp_path: Path):
    """`weights add`, `eval --frozen NAME`, `weights list` and `remove`, with a checkpoint as mmdetection saves it."""
    run = {"FUSIONBENCH_CACHE": str(tmp_path / "cache")}
    state = {k.removeprefix("model."): v for k, v in random("yolox-tiny").state_dict().items()}
    torch.save({"state_dict": state, "meta": {"epoch": 300}}, tmp_path / "tiny.pth")
    data = ("--like", "m3fd", "--train", 0, "--test", 2, "--size", "64x96", "--out", tmp_path / "data/M3FD")
    assert fusionbench("data", "synth", *data).returncode == 0
    asked = ("--datasets", "m3fd", "--data-root", tmp_path / "data", "--methods", "average", "--metrics", "en")
    words = ("--tasks", "detection", "--frozen", "yolox-tiny", "--out", tmp_path / "out", "--json")
    missing = fusionbench("eval", *asked, *words, **run)
    assert missing.returncode
    assert "fusionbench weights add yolox-tiny" in missing.stderr
    done = fusionbench("weights", "add", "YOLOX_tiny", tmp_path / "tiny.pth", "--trained-on", "nothing", **run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("yolox-tiny[tiny] is ready")
    listed = json.loads(fusionbench("weights", "list", "--json", **run).stdout)
    assert [(r["name"], r["here"], r["trained_on"]) for r in listed if r["method"] == "yolox-tiny"] == [
        ("tiny", True, "nothing")
    ]
    scored = fusionbench("eval", *asked, *words, **run)
    assert scored.returncode == 0, scored.stderr
    (table,) = json.loads(scored.stdout)["tables"]
    (first, _) = table["tasks"]
    assert "+416x416+best+score0.01+nms0.65+max100+test/" in first["id"]
    assert "fitted into 416x416, top left, the rest grey 114" in first["note"]
    (page,) = (tmp_path / "out").glob("**/*.detection.md")
    lines = page.read_text().partition("By class")[2].splitlines()
    classes = [line.split("|")[1].strip() for line in lines if "|" in line]
    assert classes[2:] == ["People", "Car", "Bus", "Motorcycle", "Truck"]  # COCO has no lamp
    other = fusionbench("weights", "add", "yolox-s", tmp_path / "tiny.pth", **run)
    assert other.returncode
    assert "not a checkpoint of yolox-s with COCO's 80 classes" in other.stderr
    nowhere = fusionbench("weights", "add", "yolov8-n", tmp_path / "tiny.pth", **run)
    assert nowhere.returncode
    assert "--network yolov8-n" in nowhere.stderr
    assert fusionbench("weights", "remove", "yolox-tiny", "tiny", **run).returncode == 0
    assert fusionbench("weights", "remove", "yolox-tiny", "tiny", **run).returncode


def test_yolox_s_comes_back_from_its_checkpoint(tmp_path: Path):
    """Random weights, saved as mmdetection does, added, read back: the same network, which sees pictures at 640x640."""
    network = random("yolox-s")
    torch.save(
        {"state_dict": {k.removeprefix("model."): v for k, v in network.state_dict().items()}}, tmp_path / "s.pth"
    )
    run = {"FUSIONBENCH_CACHE": str(tmp_path / "cache")}
    done = fusionbench("weights", "add", "yolox-s", tmp_path / "s.pth", "--trained-on", "nothing", **run)
    assert done.returncode == 0, done.stderr
    again, facts = load_network(tmp_path / "cache/networks/yolox-s/s")
    assert (tuple(facts["classes"]), facts["convention"]) == (COCO, "mmdet-640")
    x = torch.randn(1, 3, 96, 128)
    for ours, theirs in zip(raw(again.network, x), raw(network, x), strict=True):
        assert torch.equal(ours, theirs)
    seen = Letterboxed(network, CONVENTIONS["mmdet-640"]).eval()
    picture = torch.rand(1, 3, 48, 64)
    assert torch.equal(again.predict(picture)[0].boxes, seen.predict(picture)[0].boxes)


def test_all_pairs_and_the_tasks_own(tmp_path: Path):
    """A network that learned elsewhere is tested on the table's split too; `reproduce` scores both again."""
    run = {"FUSIONBENCH_CACHE": str(tmp_path / "cache")}
    state = {k.removeprefix("model."): v for k, v in random("yolox-nano").state_dict().items()}
    torch.save(state, tmp_path / "nano.pth")
    assert fusionbench("weights", "add", "yolox-nano", tmp_path / "nano.pth", **run).returncode == 0
    data = ("--like", "msrs", "--train", 0, "--test", 8, "--size", "64x96", "--out", tmp_path / "data/MSRS")
    assert fusionbench("data", "synth", *data).returncode == 0
    (tmp_path / "data/MSRS/fusionbench-origin.json").unlink()  # so that the lists of the real set count
    asked = ("--datasets", "msrs", "--data-root", tmp_path / "data", "--methods", "average", "--metrics", "en")
    words = ("--tasks", "detection", "--frozen", "yolox-nano[nano]", "--out", tmp_path / "out", "--json")
    scored = fusionbench("eval", *asked, *words, **run)
    assert scored.returncode == 0, scored.stderr
    (table,) = json.loads(scored.stdout)["tables"]
    heads = [column["title"].partition(", ")[2] for column in table["tasks"]]
    assert sorted(heads) == ["boxes-test", "boxes-test", "test", "test"]
    notes = {column["title"].partition(", ")[2]: column["note"] for column in table["tasks"]}
    tested = {split: int(re.search(r"tested on (\d+) pairs? of", note)[1]) for split, note in notes.items()}
    assert tested["test"] == 8
    assert 0 < tested["boxes-test"] < 8
    again = fusionbench("eval", *asked, *words, **run)
    assert json.loads(again.stdout)["tables"] == [table]
    (made,) = [p for p in (tmp_path / "out/tables").glob("*.json") if "provenance" not in p.name]
    rerun = ("--data-root", tmp_path / "data", "--networks", tmp_path / "cache", "--out", tmp_path / "again")
    done = fusionbench("reproduce", made, *rerun, **run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(table['rows'])} results of task networks scored again" in done.stdout
