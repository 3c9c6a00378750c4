"""`--precision` and `--compile`: what networks compute in, which rows it makes, and that it is drawn again."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import fusionbench
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.batches import Pair, fuse_pairs
from fusionbench.evaluation.entries import entries
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.method import Arithmetic, Context, NetworkMethod
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.report.places import Places
from fusionbench.report.reproduce import Rerun, reproduce
from fusionbench.runtime.arithmetic import settled
from fusionbench.runtime.device import computing
from tests.conftest import fusionbench as command

PAIR = torch.rand(1, 4, 64, 96, generator=torch.Generator().manual_seed(0))
HEAVY = ("mrfs",)
OWN = ("cldyn", "refusion", "tdfusion")  # with networks of their own kind; below, with their packaged weights
LEARNED = [n for n, c in cards("method").items() if c.facts.requires_weights and n not in (*HEAVY, *OWN)]


@pytest.mark.parametrize("name", [*LEARNED, *(pytest.param(n, marks=pytest.mark.slow) for n in HEAVY)])
def test_every_network_computes_in_bf16(name):
    torch.manual_seed(0)
    method = resolve("method", name)()
    assert isinstance(method, NetworkMethod)
    with torch.inference_mode():
        method.fuse(PAIR[:, :1], PAIR[:, 1:])
        method.compute(Arithmetic("bf16"))
        fused = method.fuse(PAIR[:, :1], PAIR[:, 1:])
    assert fused.dtype == torch.float32
    assert fused.shape[-2:] == PAIR.shape[-2:]
    assert fused.isfinite().all()


@pytest.mark.parametrize("spec", ["refusion[scenes]", "tdfusion[scenes-fmb]", "cldyn[scenes]"])
def test_bf16_is_near_float32(spec):
    (entry,) = [e for e in entries(spec)[0] if not e.options]
    with torch.inference_mode():
        plain, half = (e.build("cpu").fuse(PAIR[:, :1], PAIR[:, 1:]) for e in (entry, entry.on("cpu", "bf16")))
    assert 0 < (plain - half).abs().max() < 2e-2
    assert (plain - half).abs().mean() < 2e-3


class Seen(nn.Module):
    """Notes whether it is called under autocast; returns half precision."""

    def forward(self, x):
        self.half = torch.is_autocast_enabled("cpu")
        if x is None:
            raise RuntimeError("no picture")
        return {"all": [x.bfloat16(), (x,)]}


def tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("name", "on"), [("float32", False), ("tf32", True)])
def test_switches_of_a_card_are_set_and_put_back(name, on):
    before = tf32()
    with computing(), Arithmetic(name).running("cuda"):  # as pictures are made
        assert tf32() == (on, on)
    assert tf32() == before


def test_a_network_returns_float32_and_leaves_nothing_behind():
    network = Seen()
    Arithmetic("bf16").apply(network, "cpu")
    out = network(torch.ones(2))
    assert network.half
    assert (out["all"][0].dtype, out["all"][1][0].dtype) == (torch.float32, torch.float32)
    with pytest.raises(RuntimeError, match="no picture"):
        network(None)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.usefixtures("compiler")
def test_compiled_for_each_size_anew():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.LeakyReLU(0.2)).requires_grad_(False)
    sizes = [torch.rand(1, 1, 8 + i, 9) for i in range(10)]  # beyond eight, torch would give up by itself
    wanted = [network(x) for x in sizes]
    Arithmetic(compiled=True).apply(network, "cpu")
    torch._dynamo.reset()
    with torch.inference_mode():
        for x, want in zip(sizes, wanted, strict=True):
            assert (network(x) - want).abs().max() < 1e-6
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= len(sizes)
    assert torch._dynamo.config.recompile_limit < 256  # as it was


def test_names():
    assert settled("cpu", "fp32") == "float32"
    assert settled("cuda", "BF16") == "bf16"
    with pytest.raises(FusionbenchError, match="precision=tf32: a device of kind cpu computes in float32 or bf16"):
        settled("cpu", "tf32")
    with pytest.raises(FusionbenchError, match="no precision 'fp16'; did you mean bf16"):
        settled("cpu", "fp16")


def test_keys():
    """Networks have another key in another arithmetic; methods without weights have one, whatever is asked."""
    (network,), _ = entries("refusion[scenes]")
    rows = [network.on("cpu", *how) for how in ((), ("float32",), ("bf16",), ("bf16", True), (None, True))]
    assert rows[0].key == rows[1].key == network.key
    assert len({row.key for row in rows}) == 4
    assert [row.info().made_in for row in rows[2:4]] == ["cpu in bf16", "cpu in bf16, compiled"]
    (classical,), _ = entries("gff")
    assert classical.on("cpu", "bf16", True).key == classical.key
    with pytest.raises(FusionbenchError, match="computes in"):
        classical.on("cpu", "tf32")


def test_rows_say_it_and_reproduce_draws_them_so(tree, tmp_path):
    asked = {"data_root": tree, "out": tmp_path / "out", "precision": "bf16"}
    result = fusionbench.evaluate(["refusion[scenes]", "average"], ["msrs"], ["en"], **asked)
    assert "refusion[scenes]: pictures made on cpu in bf16." in str(result)
    assert "average: pictures" not in str(result)
    board = tmp_path / "t.json"
    arguments = ("leaderboard", "--out", tmp_path / "out", "--format", "json", "-o", board)
    assert command(*arguments).returncode == 0
    again = reproduce(board, tmp_path / "again", Rerun(places=Places(data_root=tree), jobs=1))
    assert again.state == "same"
    assert again.same
    plain = fusionbench.evaluate(["refusion[scenes]"], ["msrs"], ["en"], **{**asked, "precision": None})
    means = [t.to_dict()["rows"][-1]["scores"]["en@bits"]["mean"] for t in (*result.tables, *plain.tables)]
    assert means[0] != means[1]

    provenance = tmp_path / "t.provenance.json"
    facts = json.loads(provenance.read_text())
    for row in facts["entries"]:
        row.update({"device": "cuda", "precision": "tf32"} if row["method"] == "refusion" else {})
    provenance.write_text(json.dumps(facts))
    again = reproduce(board, tmp_path / "third", Rerun(places=Places(data_root=tree), jobs=1))
    assert again.state == "differs"
    line = "refusion[scenes]: its pictures were made on cuda in tf32, not so here: precision=tf32: a device of kind cpu"
    assert any(difference.startswith(line) for difference in again.differences)


def test_reproduce_says_that_another_device_made_a_row(tree, tmp_path):
    fusionbench.evaluate(["average"], ["msrs"], ["en"], data_root=tree, out=tmp_path / "out")
    board, provenance = tmp_path / "t.json", tmp_path / "t.provenance.json"
    assert command("leaderboard", "--out", tmp_path / "out", "--format", "json", "-o", board).returncode == 0
    facts = json.loads(provenance.read_text())
    facts["entries"][0]["device"] = "cuda"
    provenance.write_text(json.dumps(facts))
    again = reproduce(board, tmp_path / "again", Rerun(places=Places(data_root=tree), jobs=1))
    assert again.state == "same"
    assert "average: its pictures were made on cuda in float32, here on cpu" in again.notes


def test_fuse(tree, tmp_path):
    ir, vis = (next((tree / "MSRS/test" / role).glob("*.png")) for role in ("ir", "vi"))
    pictures = []
    for number, more in enumerate(((), ("--precision", "bf16"), ("--precision", "float32"))):
        out = tmp_path / f"{number}.png"
        assert command("fuse", "refusion[scenes]", "--ir", ir, "--vis", vis, "-o", out, *more).returncode == 0
        pictures.append(np.array(Image.open(out)).astype(int))
    assert 0 < np.abs(pictures[0] - pictures[1]).max() <= 3
    assert (pictures[0] == pictures[2]).all()
    done = command("fuse", "average", "--ir", ir, "--vis", vis, "-o", out, "--precision", "tf32")
    assert done.returncode != 0
    assert "--precision tf32: a device of kind cpu computes in float32 or bf16" in done.stderr


def flushed():
    """Whether this thread takes numbers below 1e-38 for zero."""
    return not (torch.full((), 1e-39) * 1).item()


@pytest.mark.parametrize("way", ["one", "several", "library"])
@pytest.mark.parametrize("before", [False, True])
def test_the_smallest_numbers_are_zero_while_a_picture_is_made(way, before, monkeypatch):
    """Networks fade out through them, and some processors take many times as long; nobody else's switch is touched."""
    ((entry,), _) = entries("average")
    method, image, seen = entry.build("cpu"), np.zeros((3, 16, 16), np.uint8), []
    real = type(method).fuse
    monkeypatch.setattr(type(method), "fuse", lambda *a, **k: (seen.append(flushed()), real(*a, **k))[1])
    if not torch.set_flush_denormal(before):
        pytest.skip("this processor cannot")
    try:
        if way == "one":
            fuse_pair(method, entry.output_rule(), image[:1], image)
        elif way == "several":
            pairs = [Pair(name, image[:1], image) for name in "ab"]
            fuse_pairs(method, entry.output_rule(), pairs, "cpu", Context([""]), 2)
        else:
            fusionbench.fuse("average", image[0], image.transpose(1, 2, 0))
        assert seen == [True]
        assert flushed() is before
    finally:
        torch.set_flush_denormal(False)
