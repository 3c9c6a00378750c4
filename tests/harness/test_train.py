"""`train` as a user meets it: one line for what is wrong, and weights that say what they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fusionbench import cli
from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.plugins import trainable
from fusionbench.plugins.trainable import trainings
from tests.conftest import fusionbench

SMALL = ("--size", "tiny", "--cfg-options", "resize=[64,96]", "train.tensorboard=false", "train.epochs=1")


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout and stderr."""

    code: Any
    out: str
    err: str


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs a command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["fusionbench", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return Done(stop.value.code or 0, out, err)

    return call


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Generated trees of eight small training pairs, by name of the dataset; not to be changed."""
    root = tmp_path_factory.mktemp("trees")

    @cache
    def grown(name: str) -> Path:
        synth(name, root / name, 8, 2, (64, 96), seed=0)
        return root / name

    return grown


@pytest.fixture
def copy(trees: Any, tmp_path: Path) -> Any:
    """A tree that may be changed."""
    return lambda name: Path(shutil.copytree(trees(name), tmp_path / "copy" / name))


pytestmark = pytest.mark.usefixtures("mm")


def line(done: Done, code: int = 2) -> str:
    """The one line on stderr of a command that failed; a step can only fail when the pairs are decoded."""
    assert done.code == code, done.err
    said = "".join(text for text in done.err.splitlines(keepends=True) if ": decoding " not in text)
    assert said.startswith("error: "), done.err
    assert said.count("\n") == 1, done.err
    return said


def last(text: str) -> str:
    return text.splitlines()[-1] + "\n"


# ---------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("yolov8-tony --dataset m3fd", "nothing to train is called 'yolov8-tony'; did you mean yolov8-tiny"),
        ("average --dataset msrs", "nothing to train is called 'average'; "),
        ("yolov8-tiny --dataset fmb", "no recipe of yolov8-tiny for fmb; there are: msrs, m3fd, llvip"),
        ("ctdnet-tiny --dataset vt500", "no recipe of ctdnet-tiny for vt500; there are: vt5000"),
        ("ctdnet-tiny --dataset vt5000 --stage a", "ctdnet-tiny has no stage 'a'; it has no stages"),
        ("yolov8-tiny --dataset m3fd,llvip", "yolov8-tiny is trained on one dataset; give --datasets one of: msrs, "),
        ("yolov8-tiny --dataset m3fd --size tony", "no size 'tony'; did you mean tiny"),
        ("yolov8-tiny --dataset m3fd --cfg-options epocs=3", "no setting 'epocs' in this recipe; did you mean epochs"),
        ("yolov8-tiny --dataset m3fd --cfg-options train.epoch=3", "no setting 'train.epoch' in this recipe; did you"),
        ("yolov8-tiny --dataset m3fd --cfg-options batch=big", "batch=big: needs a number, such as 16"),
        ("yolov8-tiny --dataset m3fd --cfg-options batch=1.5", "batch=1.5: needs a whole number, such as 16"),
        ("yolov8-tiny --dataset m3fd --cfg-options train.tensorboard=3", "train.tensorboard=3: needs true or false"),
        ("yolov8-tiny --dataset m3fd --cfg-options batch=2 clip", "option 'clip' is not key=value"),
        ("refusion --dataset msrs --on average --size tiny", "--on is for task networks; refusion is trained on the s"),
    ],
)
def test_what_does_not_exist(here: Any, words: str, text: str) -> None:
    assert text in line(here("train", *words.split(), "--show-config"))


def test_stages(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = (t for t in trainings() if t.name == "ctdnet-tiny")
    staged = [type(one)(**{**vars(one), "stage": stage}) for stage in ("first", "second")]
    monkeypatch.setattr(trainable, "trainings", lambda: staged)
    ask = ("train", "ctdnet-tiny", "--dataset", "vt5000", "--show-config")
    assert "ctdnet-tiny is trained in stages: say --stage first or --stage second" in line(here(*ask))
    assert "has no stage 'third'; its stages are first, second" in line(here(*ask, "--stage", "third"))
    assert here(*ask, "--stage", "second").code == 0


def test_words_that_are_left_over(here: Any) -> None:
    done = here("train", "yolov8-tiny", "batch=2", "--dataset", "m3fd")
    assert done.code == 2
    assert "Error: what is 'batch=2'? Settings are given as --cfg-options batch=2" in done.err


def test_dataset_is_needed(here: Any) -> None:
    done = here("train", "yolov8-tiny")
    assert done.code == 2
    assert "say what to train on: --datasets NAME, or --data NAME=DIR; yolov8-tiny has msrs, m3fd, llvip" in done.err


def test_show_config(here: Any, tmp_path: Path) -> None:
    ask = ("train", "yolov8-tiny", "--dataset", "m3fd", "--show-config")
    full, tiny = json.loads(here(*ask).out), json.loads(here(*ask, "--size", "tiny").out)
    assert (full["network"], full["resize"], full["optimiser_type"]) == ("yolov8-tiny", [480, 640], "SGD")
    assert (tiny["network"], tiny["resize"], tiny["optimiser_type"]) == ("yolov8-tiny", [128, 160], "AdamW")
    assert tiny["datasets"] == ["m3fd"]
    loop = {"epochs", "seed", "precision", "workers", "log_every", "save_every", "validate_every", "picture_every"}
    assert loop | {"half", "tensorboard"} <= tiny.keys() == full.keys()
    several = here(*ask, "--cfg-options", "batch=2", "scale=none", "train.seed=7", "--cfg-options", "optimiser.lr=1e-2")
    changed = json.loads(several.out)
    assert (changed["batch"], changed["scale"], changed["seed"]) == (2, None, 7)
    assert changed["optimiser_lr"] == 0.01
    flat = here(*ask, "--cfg-options", "batch=2", "scale=none", "seed=7", "optimiser_lr=1e-2")
    assert flat.out == several.out
    assert not list(tmp_path.iterdir())


def test_settings_of_a_network(here: Any) -> None:
    """DETR has an optimiser of its own; the tiny size replaces that one too."""
    ask = ("train", "detr-r50", "--dataset", "m3fd", "--show-config")
    full, tiny = json.loads(here(*ask).out), json.loads(here(*ask, "--size", "tiny").out)
    names = ("type", "lr", "momentum", "weight_decay", "nesterov")
    assert [full[f"optimiser_{name}"] for name in names] == ["AdamW", 1e-4, None, 1e-4, None]
    assert (tiny["optimiser_lr"], tiny["schedule_type"], tiny["schedule_at"]) == (1e-3, "step", [0.67])


def test_config_file(here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in OpenMMLab's format, between the recipe's values and the options."""
    (tmp_path / "mine.py").write_text("optimiser = dict(type='Adam', lr=0.002)\ntrain = dict(epochs=3)\nbatch = 2\n")
    ask = ("train", "segformer-tiny", "--dataset", "fmb", "--size", "tiny", "--config", tmp_path / "mine.py")
    shown = json.loads(here(*ask, "--show-config", "--cfg-options", "train.epochs=4").out)
    assert [shown[name] for name in ("optimiser_type", "optimiser_lr", "epochs", "batch")] == ["Adam", 0.002, 4, 2]
    (tmp_path / "mine.py").write_text("optimizer = dict(lr=0.002)\n")
    assert "no setting 'optimizer.lr' in this recipe; did you mean optimiser_lr" in line(here(*ask, "--show-config"))
    monkeypatch.setitem(sys.modules, "mmengine.config", None)
    text = line(here(*ask, "--show-config"))
    assert "mmengine is missing: pip install 'ivif-fusionbench[tasks]'" in text


@pytest.mark.parametrize("words", [("train", "--help"), ("train", "yolov8-tony", "--dataset", "m3fd"), ()])
def test_no_torch(words: tuple[str, ...]) -> None:
    """Help, completion and a name that does not exist are answered without torch."""
    program = "import sys, fusionbench.cli\nsys.argv[0] = 'fusionbench'\nimport atexit\n"
    program += "atexit.register(lambda: print('torch' in sys.modules))\nfusionbench.cli.main()"
    asked = {"_FUSIONBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "fusionbench train ctd", "COMP_CWORD": "2"}
    environment = {**os.environ, **({} if words else asked)}
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, env=environment)
    *lines, torch = done.stdout.splitlines()
    assert torch == "False", done.stdout + done.stderr
    if not words:
        assert lines == ["plain,ctdnet-18", "plain,ctdnet-tiny"]


# ---------------------------------------------------------------- what is on the disk


def test_missing_folder(here: Any, tmp_path: Path) -> None:
    done = here("train", "ctdnet-tiny", "--dataset", f"vt5000={tmp_path / 'none'}", *SMALL)
    assert f"vt5000: not found under {tmp_path / 'none'}: looked for " in line(done)
    assert "vt5000: not found under data: looked for " in line(here("train", "ctdnet-tiny", "--dataset", "vt5000"))
    assert not (tmp_path / "runs").exists()


def test_data_root(here: Any, trees: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/VT5000").symlink_to(trees("vt5000"))
    done = here("train", "ctdnet-tiny", "--dataset", "vt5000", *SMALL, "--max-steps", 1)
    assert "runs/ctdnet-tiny-vt5000-tiny/last.pt: 1 steps are done; the same command with --resume" in done.err
    assert done.code == 0


def test_empty_split(here: Any, copy: Any) -> None:
    tree = copy("vt5000")
    shutil.rmtree(tree / "Train")
    done = here("train", "ctdnet-tiny", "--dataset", f"vt5000={tree}", *SMALL)
    assert f"vt5000 train: no pairs under {tree}; there is nothing to train on" in line(done)


def test_missing_label(here: Any, copy: Any) -> None:
    tree = copy("vt5000")
    victim = sorted((tree / "Train/GT").iterdir())[3]
    victim.unlink()
    done = here("train", "ctdnet-tiny", "--dataset", f"vt5000={tree}", *SMALL)
    assert f"vt5000 {victim.stem}: no saliency file in split train, which this recipe needs" in line(done)


def test_label_out_of_range(here: Any, copy: Any) -> None:
    tree = copy("msrs")
    victim = sorted((tree / "train/Segmentation_labels").iterdir())[5]
    mask = np.array(Image.open(victim))
    mask[:3, :2] = 9
    Image.fromarray(mask).save(victim)
    done = here("train", "segformer-tiny", "--dataset", f"msrs={tree}", *SMALL)
    text = f"{victim}: label id 9 (6 pixels) is outside the class list; allowed are 0 to 8 and 255 (ignored)"
    assert text in line(done)


def test_images_below_the_crop(here: Any, trees: Any) -> None:
    done = here("train", "ctdnet-tiny", "--dataset", f"vt5000={trees('vt5000')}", *SMALL, "resize=none", "crop=[80,64]")
    assert re.search(
        r"vt5000 \w+: the image is 64x96, smaller than the crop of 80x64 \(height x width\); use a smaller crop, or",
        line(done),
    )


def test_a_batch_larger_than_the_split(here: Any, trees: Any) -> None:
    done = here("train", "ctdnet-tiny", "--dataset", f"vt5000={trees('vt5000')}", *SMALL, "batch=9")
    assert "8 training samples are fewer than a batch of 9; use a smaller batch" in line(done)


def test_a_folder_that_holds_a_run(here: Any, trees: Any, tmp_path: Path) -> None:
    ask = ("train", "ctdnet-tiny", "--dataset", f"vt5000={trees('vt5000')}", *SMALL, "--out", tmp_path / "r")
    assert here(*ask).code == 0
    log = (tmp_path / "r/log.jsonl").read_bytes()
    assert f"{tmp_path / 'r'}: holds a training run; go on with --resume, or choose another --out" in line(here(*ask))
    done = here(*ask, "--resume", "--cfg-options", "batch=2")
    assert "the run has other settings: batch 4, now 2; resume with its own" in line(done)
    done = here(*ask, "--resume", "--on", "average")
    assert "the run has other settings: on not set, now average" in line(Done(done.code, "", last(done.err)))
    assert here(*ask, "--resume").code == 0  # a finished run has nothing to do
    assert (tmp_path / "r/log.jsonl").read_bytes() == log


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("resize=96", "resize=96: needs two numbers above 0, such as resize=(96,128)"),
        ("crop=64", "crop=64: needs two numbers above 0"),
        ("scale=1.5", "scale=1.5: needs two numbers above 0"),
        ("batch=0", "batch=0: must be a number above 0"),
        ("limit=-1", "limit=-1: must be a number above 0"),
        ("train.seed=-1", "train.seed=-1: must be at least 0"),
        ("train.workers=-1", "train.workers=-1: must be at least 0"),
        ("optimiser=Adam", "optimiser=Adam: is a section; change one of its settings, such as optimiser."),
        ("network=ctdnet-18", "ctdnet-tiny is the network; for another one: fusionbench train OTHER"),
        ("validate_on=val", "vt5000 has no split 'val'"),
    ],
)
def test_settings_that_make_no_sense(here: Any, trees: Any, tmp_path: Path, option: str, text: str) -> None:
    words = ("--dataset", f"vt5000={trees('vt5000')}", "--size", "tiny", "--out", tmp_path / "r")
    done = here("train", "ctdnet-tiny", *words, "--cfg-options", "train.tensorboard=false", option)
    assert text in line(done)
    assert not list(tmp_path.rglob("last.pt"))


def test_saved_facts_hold_no_folders(here: Any, trees: Any, tmp_path: Path) -> None:
    from fusionbench.training.trained import facts_of, portable

    file = tmp_path / "below/weights.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"x")
    assert portable(f"trained={file.parent}") == "trained=below@2d711642"
    assert portable({"a": [f"{file}", "train", 3]}) == {"a": ["weights.safetensors@2d711642", "train", 3]}
    done = here("train", "yolov8-tiny", "--dataset", f"m3fd={trees('m3fd')}", *SMALL, "--out", tmp_path / "r")
    assert done.code == 0, done.err
    assert str(tmp_path) not in json.dumps(facts_of(tmp_path / "r"))


def test_not_finite(here: Any, trees: Any, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "r", "--cfg-options", "optimiser.lr=1e30", "train.epochs=4", "train.save_every=1")
    text = line(here("train", "ctdnet-tiny", "--dataset", f"vt5000={trees('vt5000')}", *SMALL, *words))
    found = re.search(r"(the loss is|weights of network).* step (\d+)", text)
    assert found, text
    assert text.count(",") >= 3
    ids = [p.stem for p in (trees("vt5000") / "Train/GT").iterdir()]
    assert sum(i in text for i in ids) == 4
    assert "look at these images, or train with a lower learning rate" in text
    assert not (tmp_path / "r/weights.safetensors").exists()


# ---------------------------------------------------------------- what comes out


@pytest.fixture
def trained(here: Any, trees: Any, tmp_path: Path) -> Path:
    done = here("train", "yolov8-tiny", "--dataset", f"m3fd={trees('m3fd')}", *SMALL, "--out", tmp_path / "r")
    assert done.code == 0, done.err
    assert done.err.splitlines()[-1] == f"{tmp_path / 'r/weights.safetensors'}: the weights after 2 steps"
    return tmp_path / "r"


def test_weights_say_what_they_are(trained: Path) -> None:
    from fusionbench.training.trained import facts_of

    facts = facts_of(trained)
    assert facts == facts_of(trained / "weights.safetensors")
    assert facts["name"] == "yolov8-tiny"
    assert (facts["task"], facts["datasets"], facts["stage"], facts["on"]) == ("detection", ["m3fd"], "", "")
    assert facts["classes"] == ["People", "Car", "Bus", "Motorcycle", "Truck", "Lamp"]
    assert facts["config"]["resize"] == [64, 96]
    assert facts["trained_on"] == ("generated m3fd (scenes, seed 0), size tiny, seed 0, resize=[64,96], train.epochs=1")
    names = {p.name for p in trained.iterdir()}
    assert {"log.jsonl", "last.pt", "config.json", "sessions.jsonl", "weights.safetensors"} <= names


def test_weights_of_half_the_size(here: Any, trees: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from fusionbench.tasks.loading import load_network

    words = ["train", "yolov8-tiny", "--dataset", f"m3fd={trees('m3fd')}", "--size", "tiny"]
    options = ["--cfg-options", "resize=[64,96]", "train.epochs=1", "limit=4", "train.tensorboard=false"]
    for name in ("whole", "half"):
        more = [f"train.half={name == 'half'}", "--out", str(tmp_path / name)]
        assert here(*words, *options, *more).code == 0
    whole, half = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "half"))
    assert {t.dtype for t in half.values()} == {torch.float16, torch.int64}
    assert all(torch.equal(t.half() if t.is_floating_point() else t, half[name]) for name, t in whole.items())
    assert {p.dtype for p in load_network(tmp_path / "half")[0].parameters()} == {torch.float32}


def test_a_network_comes_back(trained: Path, trees: Any) -> None:
    import torch

    from fusionbench.tasks.loading import load_network
    from fusionbench.tasks.task import task
    from fusionbench.training.checkpoint import Checkpoint

    network, facts = load_network(trained)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    other = task("detection").make("yolov8-tiny", tuple(facts["classes"]))
    other.load_state_dict(Checkpoint.read(trained / "last.pt").state["network"])
    images = torch.rand(2, 3, 64, 96)
    for one, two in zip(network.predict(images, 0.0), other.predict(images, 0.0), strict=True):
        assert len(one.boxes)
        assert torch.equal(one.boxes, two.boxes)
        assert torch.equal(one.scores, two.scores)


def test_weights_that_are_none(trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from fusionbench.tasks.loading import load_network
    from fusionbench.training.trained import facts_of

    with pytest.raises(FusionbenchError, match=r"no trained weights here; make them with `fusionbench train`"):
        facts_of(tmp_path)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(FusionbenchError, match=r"text.safetensors: not a file that `fusionbench train` wrote"):
        facts_of(tmp_path / "text.safetensors")
    tensors = load_file(trained / "weights.safetensors")
    save_file(tensors, tmp_path / "plain.safetensors")
    with pytest.raises(FusionbenchError, match=r"plain.safetensors: not a file that `fusionbench train` wrote"):
        facts_of(tmp_path / "plain.safetensors")
    tensors.popitem()
    facts = {"fusionbench": json.dumps(facts_of(trained))}
    save_file(tensors, tmp_path / "less.safetensors", facts)
    with pytest.raises(FusionbenchError, match=r"less.safetensors: does not fit yolov8-tiny: Error"):
        load_network(tmp_path / "less.safetensors")


def test_training_on_fused_pictures(here: Any, trees: Any, tmp_path: Path) -> None:
    """The fused pictures are another training set, kept where `eval` keeps its own."""
    from fusionbench.training.trained import facts_of

    ask = ("train", "ctdnet-tiny", "--dataset", f"vt5000={trees('vt5000')}", *SMALL)
    assert here(*ask).code == 0
    done = here(*ask, "--on", "average")
    assert done.code == 0, done.err
    assert "training on 8 pictures of average" in done.err
    seen, fused = (tmp_path / "runs" / f"ctdnet-tiny-vt5000-{n}" for n in ("tiny", "on-average-tiny"))
    assert facts_of(fused)["on"] == "average"
    assert len(list((tmp_path / "results/fused").rglob("*.png"))) == 8
    logs = [[json.loads(row)["loss"] for row in (run / "log.jsonl").open() if "step" in row] for run in (seen, fused)]
    assert all(a != b for a, b in zip(*logs, strict=True))
    text = line(here(*ask, "--on", "averige", "--out", tmp_path / "none"))
    assert "no method 'averige'; did you mean average?" in text
    assert not (tmp_path / "none").exists()


def test_deep_infrared_is_trained_on_with_its_range(here: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        for role, kind, top in (("ir", np.uint16, 4000), ("vis", np.uint8, 255)):
            (tmp_path / "deep" / role).mkdir(parents=True, exist_ok=True)
            levels = rng.integers(0, top, (48, 56)).astype(kind)
            Image.fromarray(levels).save(tmp_path / "deep" / role / f"{number}.png")
    words = ("train", "refusion", "--datasets", f"folder={tmp_path / 'deep'}", "--size", "tiny", "--max-steps", "1")
    words += ("--cfg-options", "patch=16", "tensorboard=false")
    refused = here(*words, "--out", tmp_path / "a")
    assert refused.code == 2
    assert "--ir-range" in refused.err
    done = here(*words, "--out", tmp_path / "b", "--ir-range", "0,4000")
    assert done.code == 0, done.err


def test_a_name_that_no_weights_can_have_is_refused_before_training(tmp_path: Path) -> None:
    words = ("train", "densefuse", "--dataset=msrs", "--as=x,y", "--data-root", tmp_path, "--out", tmp_path / "run")
    done = fusionbench(*words)
    assert done.returncode == 2
    assert "--as x,y: take letters, digits, dot, - and _" in done.stderr
    assert not (tmp_path / "run").exists()
