"""TensorBoard, W&B and MLflow: the packages themselves, offline; a run's numbers are the same with them and without."""

from __future__ import annotations

import http.server
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.cli.logger_option import QUIET, chosen_loggers
from fusionbench.errors import FusionbenchError
from fusionbench.training import loggers as kinds
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from tests.conftest import fusionbench
from tests.training import toys

EVERY = {"tensorboard": "", "wandb": "", "mlflow": ""}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line sets, and nothing of the user's."""
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What W&B asks its server, if it asks at all."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_error(500)

        do_GET = do_POST

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        yield asked
        server.shutdown()


def run(out: Path, chosen: Mapping[str, str], *notes: list[str], **options: Any) -> Any:
    note = notes[0].append if notes else print
    resume = options.pop("resume", False)
    return train(
        toys.Toy(), toys.settings(), out, resume=resume, options=RunOptions(note=note, loggers=chosen, **options)
    )


def history(out: Path, key: str) -> list[tuple[int, float]]:
    """Steps and values of a metric, as MLflow reads them."""
    client = importlib.import_module("mlflow").MlflowClient(tracking_uri=(out / "mlflow").as_uri())
    ident = (out / "mlflow.id").read_text().strip()
    return [(m.step, m.value) for m in client.get_metric_history(ident, key)]


def logged(out: Path) -> list[tuple[int, float]]:
    import json

    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "step" in line]


@pytest.mark.slow  # imports and starts of three packages
def test_all_three(tmp_path: Path, calls: list[str]) -> None:
    plain, with_all = tmp_path / "plain", tmp_path / "with"
    run(plain, {})
    notes: list[str] = []
    run(with_all, EVERY, notes)
    assert not [n for n in notes if "logger" in n]
    assert (plain / "log.jsonl").read_bytes() == (with_all / "log.jsonl").read_bytes()
    assert not {"mlflow", "wandb", "tensorboard"} & {path.name for path in plain.iterdir()}

    assert history(with_all, "loss") == logged(with_all)
    assert [step for step, _ in history(with_all, "validation/score")] == [3, 6, 9]
    client = importlib.import_module("mlflow").MlflowClient(tracking_uri=(with_all / "mlflow").as_uri())
    found = client.get_run((with_all / "mlflow.id").read_text().strip())
    assert (found.info.status, found.info.run_name) == ("FINISHED", "with")
    assert found.data.params["batch"] == "4"
    assert [f.path for f in client.list_artifacts(found.info.run_id, "pictures/first")] == [
        f"pictures/first/epoch{n:03d}.png" for n in (1, 2, 3)
    ]

    (session,) = (with_all / "wandb").glob("offline-run-*")
    (data,) = session.glob("run-*.wandb")
    content = data.read_bytes()
    assert all(name in content for name in (b"validation/score", b"lr", b"loss", b"with"))
    assert len(list((session / "files/media/images").glob("first_*.png"))) == 3
    assert calls == []

    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = events.EventAccumulator(str(with_all / "tensorboard")).Reload()
    told = [(event.step, event.value) for event in board.Scalars("loss")]
    assert told == [(step, pytest.approx(value, rel=1e-6)) for step, value in logged(with_all)]
    assert len(board.Images("first")) == 3


def test_a_run_that_goes_on_is_the_same_run(tmp_path: Path) -> None:
    chosen = {"wandb": "", "mlflow": ""}
    run(tmp_path, chosen, max_steps=4)
    idents = [(tmp_path / f"{name}.id").read_text() for name in chosen]
    run(tmp_path, chosen, resume=True)
    assert idents == [(tmp_path / f"{name}.id").read_text() for name in chosen]
    assert history(tmp_path, "loss") == logged(tmp_path)
    assert len(list((tmp_path / "mlflow").glob("*/*/meta.yaml"))) == 1
    assert {path.name.rpartition("-")[2] for path in (tmp_path / "wandb").glob("offline-run-*")} == {idents[0].strip()}


@pytest.mark.parametrize("name", EVERY)
def test_one_that_fails_is_left(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its first value, or when it is opened: the run goes on and says so once."""

    class Broken:
        def __init__(self, session: kinds.Session) -> None: ...

        def scalars(self, step: int, values: Mapping[str, float]) -> None:
            raise OSError("no\nspace")

        def picture(self, step: int, name: str, image: np.ndarray, path: Path) -> None:
            raise AssertionError

        close = picture

    class Closed(Broken):
        def __init__(self, session: kinds.Session) -> None:
            raise RuntimeError("no login")

    for kind, line in ((Broken, "OSError: no space"), (Closed, "RuntimeError: no login")):
        notes: list[str] = []
        monkeypatch.setitem(kinds.LOGGERS, name, (name, kind))
        assert run(tmp_path / kind.__name__, {name: ""}, notes).finished
        said = f"logger={name}: stopped, the run goes on without it ({line})"
        assert [n for n in notes if "logger" in n] == [said]


def test_a_password_in_an_address_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's errors repeat the address of its server."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    notes: list[str] = []
    session = kinds.Session(folder=tmp_path, step=0, settings={})
    kinds.Loggers({"mlflow": "http://somebody:hunter2@127.0.0.1:9"}, session, notes.append)
    (line,) = notes
    assert "127.0.0.1" in line
    assert "hunter2" not in line
    assert "somebody" not in line


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The run goes on without it at once; MLflow alone would ask again for minutes."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:hunter2@127.0.0.1:9")
    assert chosen_loggers(("mlflow", "wandb")) == {"wandb": ""}
    told = capsys.readouterr().err
    assert told.startswith("--logger mlflow: the run goes on without it, nobody answers at http://127.0.0.1:9 (")
    assert told.count("\n") == 1
    assert "hunter2" not in told


def test_one_that_answers(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", os.environ["WANDB_BASE_URL"])
    assert chosen_loggers(("mlflow",)) == {"mlflow": os.environ["WANDB_BASE_URL"]}
    assert calls == []


def test_values_that_are_not_finite_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys.Toy, "validate", lambda _: {"score": float("nan"), "luck": 1.0})
    notes: list[str] = []
    run(tmp_path, {"mlflow": ""}, notes)
    assert [step for step, _ in history(tmp_path, "validation/luck")] == [3, 6, 9]
    assert not list((tmp_path / "mlflow").rglob("validation/score"))
    assert not [n for n in notes if "logger" in n]


def test_where_each_writes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_loggers(("wandb", "mlflow", "tensorboard")) == {"wandb": "", "mlflow": "", "tensorboard": ""}
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert chosen_loggers(("W&B", "MLflow")) == {"wandb": "online", "mlflow": "sqlite:///elsewhere.db"}


def test_nothing_is_sent_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:
        monkeypatch.delenv(name)
    assert chosen_loggers(()) == {}
    assert not QUIET.keys() & os.environ.keys()
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")  # the user's word stands
    chosen_loggers(("mlflow",))
    assert (os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["WANDB_ERROR_REPORTING"]) == ("true", "true")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FusionbenchError, match=rf"logger={name}: {name} is not installed: .*\[loggers\]"):
        chosen_loggers((name,))


def test_by_the_command(tmp_path: Path) -> None:
    words = ("--data-root", tmp_path, "--datasets", "msrs", "--out", tmp_path / "run", "--size=tiny")
    done = fusionbench("train", "refusion", *words, "--logger", "comet")
    assert done.returncode == 2
    assert "no logger 'comet'" in done.stderr
    assert not (tmp_path / "run").exists()
