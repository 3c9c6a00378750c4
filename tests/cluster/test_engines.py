"""Real processes and a real Ray cluster on this machine; workers are killed while they work."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionbench.cluster.on_slurm import minutes
from tests.cluster.processes import below, waited
from tests.conftest import fusionbench, make_tree, package
from tests.harness.test_eval import tables

EVAL = ("eval", "--methods=average,laplacian,gff,visible", "--datasets=msrs", "--metrics=en,sf,vif,qabf")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with forty pairs: five units; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    make_tree(folder, 40, (120, 160))
    return folder


@pytest.fixture(scope="module")
def calm(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of one process."""
    out = tmp_path_factory.mktemp("calm")
    assert fusionbench(*EVAL, "--data-root", root, "--out", out).returncode == 0
    return tables(out)


def begin(root: Path, out: Path, *more: str, **settings: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "fusionbench", *EVAL, "--data-root", str(root), "--out", str(out), *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **settings})


def is_worker(command: str) -> bool:
    return command.startswith("ray::_packed")


def is_process(command: str) -> bool:
    return "spawn_main" in command and "resource_tracker" not in command


@pytest.fixture(scope="module")
def ray() -> None:
    package("ray", "cluster")


@pytest.mark.parametrize("option", ["--cluster", "--shard"])
def test_an_empty_word_is_not_this_machine_and_everything(root: Path, tmp_path: Path, option: str) -> None:
    """As a script's variable is that was not set."""
    done = fusionbench(*EVAL, "--data-root", root, "--out", tmp_path / "r", option, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {option}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("address", ["ray://ada:5ec2e7@head:10001", "http://ada:5ec2e7@head", "head:1?token=5ec2e7"])
def test_an_address_holds_no_password(root: Path, tmp_path: Path, address: str) -> None:
    """It would be shown, and be kept in the command beside the results."""
    done = fusionbench(*EVAL, "--data-root", root, "--out", tmp_path / "r", "--cluster", address)
    assert done.returncode == 2
    assert "an address holds no user, password or token" in done.stderr
    assert "5ec2e7" not in done.stdout + done.stderr
    assert not (tmp_path / "r").exists()


@pytest.fixture(scope="module")
def slurm() -> None:
    package("submitit", "cluster")


@pytest.mark.usefixtures("slurm")
def test_jobs_that_sbatch_refuses(root: Path, tmp_path: Path) -> None:
    """A partition that is none, a controller that does not answer: one line, and nothing is left behind."""
    (tmp_path / "bin").mkdir()
    for name in ("srun", "sbatch"):
        (tmp_path / "bin" / name).write_text(
            "#!/bin/sh\necho 'sbatch: error: invalid partition: x\nfatal' >&2\nexit 1\n"
        )
        (tmp_path / "bin" / name).chmod(0o755)
    words = ("--data-root", root, "--out", tmp_path / "r", "--cluster=slurm", "--slurm=partition=x")
    done = fusionbench(*EVAL, *words, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 2
    (line,) = [text for text in done.stderr.splitlines() if text.startswith(("error", "internal"))]
    assert line.startswith("error: --cluster slurm: sbatch refused the jobs: ")
    assert "invalid partition: x" in line
    assert not [p for p in (tmp_path / "r").rglob("*") if p.name.startswith("jobs")]


@pytest.mark.slow
def test_two_devices(root: Path, calm: dict[str, bytes], tmp_path: Path) -> None:
    """Two processes stand for two cards; one is killed."""
    run = begin(root, tmp_path / "r", "--device=cpu,cpu")
    os.kill(waited(run.pid, is_process)[-1], signal.SIGKILL)
    _, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert "its process died (signal 9); it is tried again" in err
    assert tables(tmp_path / "r") == calm


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_two_workers_killed(root: Path, calm: dict[str, bytes], tmp_path: Path) -> None:
    rng = random.Random(0)
    secret = "5ec2e7" * 10
    run = begin(root, tmp_path / "r", "--cluster=local", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secret)
    for _ in range(2):
        waited(run.pid, is_worker)
        time.sleep(rng.uniform(0, 0.5))  # a quick machine is done soon
        os.kill(rng.choice(waited(run.pid, is_worker)), signal.SIGKILL)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert err.count("its worker died (WorkerCrashedError") == 2
    assert tables(tmp_path / "r") == calm
    assert secret not in out + err
    assert not any(secret.encode() in path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file())
    assert not [path for path in (tmp_path / "r").rglob("*") if path.suffix in (".pkl", ".zip")]
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["fused", "results.db", "tables"]


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_the_cluster_is_killed(root: Path, calm: dict[str, bytes], tmp_path: Path) -> None:
    run = begin(root, tmp_path / "r", "--cluster=local", RAY_gcs_rpc_server_reconnect_timeout_s="5")
    waited(run.pid, is_worker)
    private = waited(run.pid, lambda command: "gcs_server" in command.partition(" ")[0])
    folder = next(word for word in below(run.pid)[private[0]].split() if word.startswith("--log_dir="))
    assert Path(*Path(folder.partition("=")[2]).parts[:3]).stat().st_mode & 0o777 == 0o700
    time.sleep(1)
    for pid in waited(run.pid, lambda command: command.partition(" ")[0].endswith(("gcs_server", "/raylet"))):
        os.kill(pid, signal.SIGKILL)
    _, err = run.communicate(timeout=400)
    assert run.returncode == 0, err
    assert "units are done on this machine alone" in err
    assert tables(tmp_path / "r") == calm


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", ":9"])
def test_no_such_cluster(root: Path, tmp_path: Path, address: str) -> None:
    done = fusionbench(*EVAL, "--data-root", root, "--out", tmp_path / "r", "--cluster", address)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: --cluster {address}: the cluster cannot be reached (")


def test_without_ray(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = fusionbench(*EVAL, "--data-root", root, "--out", tmp_path / "r", "--cluster=local")
    assert done.returncode == 2
    assert done.stderr == "error: --cluster local: needs the package ray: pip install 'ivif-fusionbench[ray]'\n"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--cluster=local", "--shard=1/2"), "--cluster chooses parts and devices itself"),
        (("--cluster=local", "--device=cuda:0,cuda:1"), "--cluster chooses parts and devices itself"),
        (("--cluster=local", "--fresh-versions"), "--fresh-versions: on one device of one machine"),
        (("--device=cpu,cpu", "--fresh-versions"), "--fresh-versions: on one device of one machine"),
        (("--slurm=partition=x",), "--slurm partition=x: is for --cluster slurm"),
        (("--device=cpu,cuda:0",), "--device cpu,cuda:0: name devices of one kind"),
        (("--device=cuda,cuda:0",), "--device cuda,cuda:0: cuda alone stands for all cards"),
        (("--device=",), "--device: name devices of one kind"),
    ],
)
def test_what_does_not_go_together(root: Path, tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    done = fusionbench(*EVAL, "--data-root", root, "--out", tmp_path / "r", *words)
    assert done.returncode == 2
    assert line in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_jobs_of_submitit(root: Path, calm: dict[str, bytes], tmp_path: Path) -> None:
    """submitit's local executor; a job is killed and tried again, and no pickle outlives its job."""
    run = begin(root, tmp_path / "r", "--cluster=slurm", "--slurm=executor=local", "--slurm=partition=gpu")
    os.kill(waited(run.pid, lambda command: "submitit.core._submit" in command)[0], signal.SIGKILL)
    jobs = next((tmp_path / "r").glob(".units-*")) / "jobs"
    assert jobs.parent.stat().st_mode & 0o777 == 0o700
    _, err = run.communicate(timeout=400)
    assert run.returncode == 0, err
    assert "its job died (" in err
    assert tables(tmp_path / "r") == calm
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["fused", "results.db", "tables"]


@pytest.mark.usefixtures("slurm")
def test_a_dry_run_of_slurm(root: Path, tmp_path: Path) -> None:
    words = ("--cluster=slurm", "--slurm=partition=gpu", "--slurm=time=1-2", "--slurm=memory=8G", "--slurm=qos=low")
    done = fusionbench(*EVAL, "--data-root", root, "--out", tmp_path / "r", *words, "--jobs=3", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for option in ("partition=gpu", "time=1560", "mem=8G", "qos=low", "cpus-per-task=3", "array=0-4%5"):
        assert f"#SBATCH --{option}" in lines
    assert f"cached: 0 pictures of {tmp_path / 'r'}, which are not made again" in lines
    assert sum(line.startswith("unit ") for line in lines) == 5
    assert f"else {root})" in done.stdout
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    "text", ["partition", "=x", "partition=a b", "time=8h", "a=x\n#SBATCH --wrap=y", "P=x", "a=$(x)"]
)
def test_options_that_slurm_cannot_have(root: Path, tmp_path: Path, text: str) -> None:
    words = ("--cluster=slurm", "--slurm", text)
    done = fusionbench(*EVAL, "--data-root", root, "--out", tmp_path / "r", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --slurm ")
    assert done.stderr.count("\n") <= 2
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [("90", 90), ("90:30", 91), ("8:00:00", 480), ("1-12", 36 * 60), ("1-12:30", 36 * 60 + 30), ("0:00:01", 1)],
)
def test_times_as_sbatch_has_them(text: str, found: int) -> None:
    assert minutes(text) == found
