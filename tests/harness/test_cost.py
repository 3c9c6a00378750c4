"""``fusionbench cost``. Oracle: operations counted by hand from the shapes of the convolutions."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import save_file
from torch import nn

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.cost import Cost
from fusionbench.plugins.weights import read_tensors
from fusionbench.report.cost_table import groups, keep, kept, markdown
from tests.conftest import fusionbench, make_tree

CARD = """kind = "method"
name = "{name}"
title = "Own"
summary = "A network of one's own"
object = "Own"
version = "1"
family = "cnn"
licence = "MIT"

[output]
stretch = "none"
quantise = "round"
chroma = "opencv"
"""
NETWORK = """import torch
from torch import nn
from fusionbench.colour import luma
from fusionbench.method import Method

class Own(Method):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 1, 1))

    def fuse(self, ir, vis, context=None):
        return self.net(torch.cat([ir, luma(vis)], 1))
"""
FAULTS = {
    "gone": ("import os\n", "os._exit(9)", "its process was ended"),
    "broken": ("", "raise ValueError('no\\nnetwork')", "ValueError: no network"),
}


def plugin(folder: Path, name: str, code: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(CARD.format(name=name))
    (folder / f"{name}.py").write_text(code)


def rows(folder: Path) -> dict[str, Cost]:
    return {row.entry: row for row in kept(folder)}


def test_operations_parameters_time_and_memory(tmp_path: Path) -> None:
    plugin(tmp_path / "own", "own", NETWORK)
    words = ("--plugins", tmp_path / "own", "cost", "--methods=own,average", "--size=64x96", "--out", tmp_path / "out")
    done = fusionbench(*words, "--runs=2")
    assert done.returncode == 0, done.stderr
    own, average = rows(tmp_path / "out")["own"], rows(tmp_path / "out")["average"]
    assert own.flops == 2 * 64 * 96 * (2 * 8 * 9 + 8)
    assert own.parameters == 2 * 8 * 9 + 8 + 8 + 1
    assert (average.flops, average.parameters) == (None, None)
    assert own.milliseconds > 0
    assert own.peak_mib is not None
    assert "| own | 161 |" in done.stdout

    # measured once; --again measures anew
    for row in kept(tmp_path / "out"):
        keep(tmp_path / "out", replace(row, milliseconds=12345.0))
    assert "12,345.0" in fusionbench(*words).stdout
    assert "12,345.0" not in fusionbench(*words, "--again").stdout
    assert len(kept(tmp_path / "out")) == 2


def test_memory_of_a_large_array_is_seen(tmp_path: Path) -> None:
    plugin(
        tmp_path / "own", "own", NETWORK.replace("        return", "        torch.ones(64 << 20).sum()\n        return")
    )
    words = ("--plugins", tmp_path / "own", "cost", "--methods=own", "--size=32x32", "--out", tmp_path / "out")
    assert fusionbench(*words).returncode == 0
    assert 256 <= rows(tmp_path / "out")["own"].peak_mib < 400


@pytest.mark.parametrize("name", FAULTS)
def test_a_plugin_that_fails_costs_its_own_row(tmp_path: Path, name: str) -> None:
    head, line, said = FAULTS[name]
    plugin(tmp_path / "own", name, head + NETWORK.replace("return self", f"{line}\n        return self"))
    words = ("--plugins", tmp_path / "own", "cost", f"--methods={name},average", "--size=32x32")
    done = fusionbench(*words, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert f"- {name}: {said}" in done.stdout
    assert "| average |" in done.stdout


def test_quality_beside_cost(tmp_path: Path) -> None:
    make_tree(tmp_path / "data", 2)
    out = ("--out", tmp_path / "out")
    done = fusionbench("eval", "--methods=average,gff", "--metrics=en,sf", "--data-root", tmp_path / "data", *out)
    assert done.returncode == 0, done.stderr
    fusionbench("cost", "--methods=average,gff", "--size=32x48", *out)
    picture = tmp_path / "cost.png"
    done = fusionbench("cost", "--datasets=msrs", "--metrics=sf", "--picture", picture, *out)
    assert done.returncode == 0, done.stderr
    assert "| SF@mean ↑ |" in done.stdout
    assert "2 entries in" in done.stderr
    assert picture.read_bytes()[:4] == b"\x89PNG"
    beside = ("cost", "--datasets=msrs", "--metrics=sf", *out)
    texts = {}
    for suffix in ("csv", "md", "tex", "html", "xlsx", "json"):
        done = fusionbench(*beside, "-o", tmp_path / f"c.{suffix}")
        assert (done.returncode, done.stdout) == (0, "")
        texts[suffix] = (tmp_path / f"c.{suffix}").read_bytes()
    rows = list(csv.DictReader(io.StringIO(texts["csv"].decode())))
    assert {row["entry"] for row in rows} == {"average", "gff"}
    assert all(float(row["milliseconds"]) > 0 and float(row["SF@mean ↑"]) > 0 for row in rows)
    assert {row["milliseconds"] for row in rows} == {repr(row["milliseconds"]) for row in json.loads(texts["json"])}
    assert b"| average |" in texts["md"]
    assert rb"\toprule" in texts["tex"]
    assert b"<td>average</td>" in texts["html"]
    with zipfile.ZipFile(io.BytesIO(texts["xlsx"])) as book:
        assert f"<v>{rows[0]['milliseconds']}</v>" in book.read("xl/worksheets/sheet1.xml").decode()
    for more, said in (
        (("-o", tmp_path / "x.nosuch"), "must end in .md, .tex"),
        (("--datasets=msrs", "--metrics=vif"), "the table of msrs has no column 'vif'"),
        (("--picture", picture), "name it with --datasets"),
        (("--metrics=sf",), "name it with --datasets"),
        (("--datasets=msrs", "--picture", tmp_path / "x.nosuch"), "x.nosuch"),
        (("--methods=nosuch",), "no method 'nosuch'"),
        (("--size=99999x99999",), "more than 64 million pixels"),
    ):
        done = fusionbench("cost", *more, *out)
        assert done.returncode == 2
        assert said in done.stderr
        assert "internal error" not in done.stderr


def test_time_of_the_processor_on_one_thread(tmp_path: Path) -> None:
    """A method that waits costs the processor nothing; on two threads the clock on the wall counts."""
    plugin(
        tmp_path / "own",
        "own",
        NETWORK.replace("        return", "        import time; time.sleep(0.4)\n        return"),
    )
    words = ("--plugins", tmp_path / "own", "cost", "--methods=own", "--size=32x32", "--runs=1", "--out", tmp_path)
    assert ", 1 thread, time of the processor, float32" in fusionbench(*words).stdout
    assert ", 2 threads, float32" in fusionbench(*words, "--threads=2").stdout
    took = {row.clock: row.milliseconds for row in kept(tmp_path)}
    assert took["processor"] < 300
    assert took["wall"] >= 400


@pytest.mark.parametrize("text", ["{", "[{}]", '{"entry": 3}', "\x00", "[" * 2000, "\n"])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "costs.jsonl").write_text(text)
    done = fusionbench("cost", "--out", tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path / 'costs.jsonl'}, line 1" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "costs.jsonl").read_text() == text


def test_other_machines_stand_apart(tmp_path: Path) -> None:
    facts = {"height": 32, "width": 32, "device": "cpu", "threads": 1, "torch": "2", "milliseconds": 1.0}
    one = Cost(entry="a", key="k", made="1", processor="One", arithmetic="float32", **facts)
    two, half = replace(one, processor="Two"), replace(one, key="h", arithmetic="bf16, compiled")
    newer = replace(one, key="n", made="2")
    for row in (one, two, half, one, newer):
        keep(tmp_path, row)
    assert len(kept(tmp_path)) == 4
    shown = {title.partition(" on ")[2]: rows for title, rows in groups(kept(tmp_path)).items()}
    assert shown == {
        "One, 1 thread, bf16, compiled; torch 2": [half],
        "One, 1 thread, float32; torch 2": [newer],
        "Two, 1 thread, float32; torch 2": [two],
    }
    timed = replace(one, clock="processor")  # older rows say nothing: of the clock on the wall
    assert timed.place != one.place
    assert [t.partition(" on ")[2] for t in groups([timed])] == [
        "One, 1 thread, time of the processor, float32; torch 2"
    ]


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    facts = {"height": 32, "width": 32, "device": "cpu", "threads": 1, "torch": "2", "made": "1", "processor": "One"}
    row = Cost(entry="a", key="k", arithmetic="float32", **facts)
    keep(tmp_path, row)
    before = (tmp_path / "costs.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(FusionbenchError, match=r"costs\.jsonl"):
            keep(tmp_path, replace(row, entry="b"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, usual)
    assert (tmp_path / "costs.jsonl").read_bytes() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_measurement_that_is_stopped(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """As a terminal does it: Ctrl-C goes to the process that measures too."""
    slow = "        import time; open(PATH, 'w').close(); time.sleep(60)\n        return"
    mark = tmp_path / "begun"
    plugin(tmp_path / "own", "own", NETWORK.replace("        return", slow.replace("PATH", repr(str(mark)))))
    command = [sys.executable, "-m", "fusionbench", "--plugins", str(tmp_path / "own"), "cost", "--methods=own"]
    running = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not mark.exists():
        assert running.poll() is None
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    _, err = running.communicate(timeout=30)
    assert running.returncode == code
    assert err.strip().splitlines() == ["stopped; finished images are kept, the same command continues"]


@pytest.mark.real
def test_seafusion_by_hand(shared: Path, tmp_path: Path) -> None:
    """Every convolution runs once at full size, so that each of its weights is one multiplication at each pixel."""
    settings, path = {"FUSIONBENCH_CACHE": str(tmp_path / "cache")}, shared / "weights/SeAFusion/SeAFusion.pth"
    fusionbench("weights", "add", "seafusion", path, **settings)
    done = fusionbench("cost", "--methods=seafusion", "--size=48x64", "--runs=1", "--out", tmp_path / "out", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    tensors = read_tensors(path)
    (row,) = kept(tmp_path / "out")
    assert row.flops == 2 * 48 * 64 * sum(x.numel() for x in tensors.values() if x.ndim == 4)


@pytest.mark.real
def test_densefuse_by_hand(shared: Path, tmp_path: Path) -> None:
    """Encoder on both pictures: 1-16, then 16, 32 and 48 to 16; decoder 64-64-32-16-1; all 3x3 at full size."""
    settings = {"FUSIONBENCH_CACHE": str(tmp_path / "cache")}
    fusionbench("weights", "add", "densefuse", shared / "weights/DenseFuse/densefuse_gray.model", **settings)
    done = fusionbench("cost", "--methods=densefuse", "--size=48x64", "--runs=1", "--out", tmp_path / "out", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    encoder, decoder = 9 * (16 + (16 + 32 + 48) * 16), 9 * (64 * 64 + 64 * 32 + 32 * 16 + 16)
    (row,) = kept(tmp_path / "out")
    assert row.flops == 2 * 48 * 64 * (2 * encoder + decoder)
    assert row.parameters == encoder + 4 * 16 + decoder + 64 + 32 + 16 + 1


def test_operations_of_ifcnn_by_hand(tmp_path: Path) -> None:
    """7x7 from 3 to 64 channels and a block of 3x3 for each of two images, a block and a 1x1 to 3 channels for both."""
    done = fusionbench("cost", "--methods=ifcnn", "--size=48x64", "--runs=0", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    first, block, last = 49 * 3 * 64, 9 * 64 * 64, 64 * 3
    (row,) = kept(tmp_path / "out")
    assert row.flops == 2 * 48 * 64 * (2 * (first + block) + block + last)
    assert row.parameters == first + 2 * (block + 2 * 64) + last + 3
    assert (row.milliseconds, row.peak_mib) == (None, None)


@pytest.mark.parametrize("value", [False, True])
def test_operations_alone_then_times_too(tmp_path: Path, value: bool) -> None:
    """Counted on shapes; on a picture where the method looks at values. A row without a time is not measured yet."""
    looks = "        assert float(ir.amax()) > 0\n        return" if value else "        return"
    plugin(tmp_path / "own", "own", NETWORK.replace("        return", looks))
    words = ("--plugins", tmp_path / "own", "cost", "--methods=own", "--size=32x48", "--out", tmp_path / "out")
    for runs, timed in ((0, False), (1, True), (0, True)):
        done = fusionbench(*words, "--runs", runs)
        assert done.returncode == 0, done.stderr
        row = rows(tmp_path / "out")["own"]
        assert (row.flops, row.parameters) == (2 * 32 * 48 * (2 * 8 * 9 + 8), 161)
        assert (row.milliseconds is not None) == timed


def test_a_method_with_a_gradient_inside_is_counted(tmp_path: Path) -> None:
    inside = """        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros_like(ir).requires_grad_()
            torch.autograd.grad(self.net(torch.cat([x, x], 1)).sum(), x)
        return"""
    plugin(tmp_path / "own", "own", NETWORK.replace("        return", inside))
    words = ("--plugins", tmp_path / "own", "cost", "--methods=own", "--size=32x48", "--out", tmp_path / "out")
    assert fusionbench(*words, "--runs=0").returncode == 0
    assert rows(tmp_path / "out")["own"].flops >= 2 * 2 * 32 * 48 * (2 * 8 * 9 + 8)


def test_networks_in_lists_and_dicts_count(tmp_path: Path) -> None:
    code = NETWORK.replace("self.net = nn", "self.nets = {'a': [nn").replace(
        "nn.Conv2d(8, 1, 1))", "nn.Conv2d(8, 1, 1))]}"
    )
    plugin(tmp_path / "own", "own", code.replace("self.net(", "self.nets['a'][0]("))
    for runs in (0, 1):
        out = tmp_path / f"out{runs}"
        words = ("--plugins", tmp_path / "own", "cost", "--methods=own", "--size=32x48", "--out", out)
        assert fusionbench(*words, "--runs", runs).returncode == 0
        assert (rows(out)["own"].flops, rows(out)["own"].parameters) == (2 * 32 * 48 * (2 * 8 * 9 + 8), 161)


def test_two_runs_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """Three processes write, and every second line of each fails half-way and is taken back."""
    code = """import sys
from pathlib import Path
from fusionbench.evaluation.cost import Cost
from fusionbench.report import cost_table
facts = {"height": 32, "width": 32, "device": "cpu", "threads": 1, "torch": "2", "made": "1", "processor": "x" * 20000}
here, name = Path(sys.argv[1]), sys.argv[2]
encode = cost_table.msgspec.json.encode

class Text(bytes):
    def __add__(self, other):
        return Text(bytes(self) + other)
    def __getitem__(self, part):
        raise OSError(28, "No space left on device")

for number in range(40):
    row = Cost(entry=f"{name}-{number}", key=f"{name}-{number}", arithmetic="float32", **facts)
    cost_table.msgspec.json.encode = (lambda row: Text(encode(row)[:9000])) if number % 2 else encode
    try:
        cost_table.keep(here, row)
    except cost_table.FusionbenchError:
        assert number % 2
    assert cost_table.kept(here)
"""
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"run{i}"]) for i in range(3)]
    assert [one.wait(120) for one in running] == [0] * 3
    found = {row.entry for row in kept(tmp_path)}
    assert found == {f"run{i}-{number}" for i in range(3) for number in range(0, 40, 2)}


def test_without_its_weights_a_method_costs_the_same(tmp_path: Path) -> None:
    plugin(
        tmp_path / "own",
        "own",
        NETWORK
        + """
    def load(self, weights):
        from safetensors.torch import load_file
        if weights is None:
            raise ValueError("needs weights")
        self.net.load_state_dict(load_file(weights))
""",
    )
    path = tmp_path / "own/own.toml"
    path.write_text(path.read_text().replace("[output]", "requires_weights = true\n\n[output]"))
    torch.manual_seed(1)
    save_file(nn.Sequential(nn.Conv2d(2, 8, 3), nn.Conv2d(8, 1, 1)).state_dict(), tmp_path / "w.safetensors")
    words = ("--plugins", tmp_path / "own")
    cost = (*words, "cost", "--methods=own", "--size=32x48", "--runs=1", "--out", tmp_path / "out")
    for _ in range(2):
        done = fusionbench(*cost)
        assert done.returncode == 0, done.stderr
    assert "| own[random weights] | 161 |" in done.stdout
    assert fusionbench(*words, "weights", "add", "own", tmp_path / "w.safetensors", "--name", "mine").returncode == 0
    assert fusionbench(*cost).returncode == 0
    random, mine = rows(tmp_path / "out")["own[random weights]"], rows(tmp_path / "out")["own[mine]"]
    assert (random.flops, random.parameters) == (mine.flops, mine.parameters) == (2 * 32 * 48 * (2 * 8 * 9 + 8), 161)
    assert random.key != mine.key
    done = fusionbench(*words, "cost", "--methods=own[other]", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "own has no weights 'other' here" in done.stderr


def test_pictures_are_never_made_with_random_weights(tree: Path, tmp_path: Path) -> None:
    done = fusionbench("eval", "--methods", "cddfuse", "--datasets", "msrs", "--data-root", tree, "--out", tmp_path)
    assert done.returncode != 0
    assert "cddfuse: no weights at hand" in done.stderr


def test_the_committed_table() -> None:
    """It says what its file says; two rows were counted by hand."""
    folder = Path(__file__).parents[2] / "leaderboards/costs"
    ((title, group),) = groups(kept(folder)).items()
    assert markdown(title, group, {}) in (folder / "README.md").read_text()
    found = {row.entry: row.flops for row in group}
    assert found["ifcnn[max]"] == 2 * 480 * 640 * (2 * (49 * 3 * 64 + 9 * 64 * 64) + 9 * 64 * 64 + 64 * 3)
    encoder, decoder = 9 * (16 + (16 + 32 + 48) * 16), 9 * (64 * 64 + 64 * 32 + 32 * 16 + 16)
    assert found["densefuse[grey]"] == 2 * 480 * 640 * (2 * encoder + decoder)
