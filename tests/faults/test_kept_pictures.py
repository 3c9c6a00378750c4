"""Pictures kept at an address: the same tables, nothing lost when it disappears, read back by their pixels alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench import environment
from fusionbench.cluster.gathering import Gathering
from fusionbench.cluster.units import place
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.plan import Request, make_plan
from fusionbench.pixels.images import picture_digest
from fusionbench.results.remote import SharedFolder
from fusionbench.results.shelf import KeptElsewhere
from fusionbench.results.store import Store
from tests.cluster.stub import Stub
from tests.conftest import Done, fusionbench
from tests.faults.conftest import SECRET
from tests.harness.test_eval import tables

Run = Callable[..., Done]


@pytest.fixture
def run(tree: Path, tmp_path: Path) -> Run:
    """Fuses and scores into `r`."""
    words = ("--methods=average,gff", "--datasets=msrs", "--data-root", tree, "--out", tmp_path / "r")

    def evaluate(*more: str, metrics: str = "en,sf", **settings: str) -> Done:
        return fusionbench("eval", f"--metrics={metrics}", *words, *more, **settings)

    return evaluate


def pictures(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def kept(memory: Any, place: str = "/lab") -> list[str]:
    return sorted(path.removeprefix(f"{place}/") for path in memory.find(place))


def broken(memory: Any, patch: pytest.MonkeyPatch, name: str, after: int = 0) -> None:
    """The address answers some times more, then no more; its words hold a secret."""
    cls, calls = type(memory), []
    there = getattr(cls, name)

    def call(*words: Any, **more: Any) -> Any:
        calls.append(words)
        if len(calls) > after:
            raise ConnectionError(f"no route for {SECRET}")
        return there(*words, **more)

    patch.setattr(cls, name, call)


@pytest.mark.parametrize("address", ["memory://lab/ada", "folder", "file"])
def test_the_same_tables(memory: Any, run: Run, tmp_path: Path, address: str) -> None:
    assert run().returncode == 0
    here, files = tables(tmp_path / "r"), pictures(tmp_path / "r")
    shutil.rmtree(tmp_path / "r")
    shared = tmp_path / "shared"
    address = {"folder": str(shared), "file": shared.as_uri()}.get(address, address)
    done = run("--pictures-at", address)
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "r") == here
    assert pictures(tmp_path / "r") == []
    assert (kept(memory, "/lab/ada") if "memory" in address else pictures(shared)) == files
    again = run("--pictures-at", address, metrics="en,sf,vif")
    assert "0 images fused, 8 kept, 8 values computed" in again.stderr


def test_by_the_variable(memory: Any, run: Run, tmp_path: Path) -> None:
    assert run(FUSIONBENCH_PICTURES="memory://lab").returncode == 0
    assert (len(kept(memory)), pictures(tmp_path / "r")) == (8, [])
    assert (tmp_path / "r/pictures-at.txt").read_text() == "memory://lab\n"


def test_what_is_read_back_has_its_pixels(memory: Any, run: Run) -> None:
    run("--pictures-at=memory://lab")
    a, b = kept(memory)[:2]
    whole = memory.cat(f"/lab/{a}")
    memory.pipe(f"/lab/{a}", memory.cat(f"/lab/{b}"))
    done = run("--pictures-at=memory://lab", metrics="en,sf,vif")
    assert done.returncode == 1
    assert f"memory://lab/{a}: changed since it was fused; run again" in done.stderr
    done = run("--pictures-at=memory://lab", metrics="en,sf,vif")
    assert (done.returncode, "1 image fused, 7 kept" in done.stderr) == (0, True)
    assert memory.cat(f"/lab/{a}") == whole


def test_one_of_the_folder_that_was_changed(memory: Any, run: Run, tmp_path: Path) -> None:
    """What lay in the folder is brought there, but for what is not what its record says; that is made again."""
    run()
    first, second = (tmp_path / "r" / name for name in pictures(tmp_path / "r")[:2])
    shutil.copyfile(second, first)
    done = run("--pictures-at=memory://lab")
    assert f"1 picture stays in {tmp_path / 'r'}: not what the record says" in done.stderr
    assert (len(kept(memory)), len(pictures(tmp_path / "r"))) == (7, 1)
    assert run("--pictures-at=memory://lab", metrics="en,sf,vif").returncode == 1
    done = run("--pictures-at=memory://lab", metrics="en,sf,vif")
    assert (done.returncode, "1 image fused, 7 kept" in done.stderr) == (0, True)
    assert (len(kept(memory)), pictures(tmp_path / "r")) == (8, [])


def test_one_that_is_gone_is_made_again(memory: Any, run: Run) -> None:
    run("--pictures-at=memory://lab")
    memory.rm(f"/lab/{kept(memory)[0]}")
    assert "1 image fused, 7 kept" in run("--pictures-at=memory://lab").stderr
    assert len(kept(memory)) == 8


def test_it_disappears_while_pictures_are_made(memory: Any, run: Run, tmp_path: Path) -> None:
    """They stay in the folder, and the same command brings them there."""
    with pytest.MonkeyPatch.context() as patch:
        broken(memory, patch, "pipe_file", after=4)  # one of them is the trial
        done = run("--pictures-at=memory://lab")
    assert done.returncode == 0, done.stderr
    line = f"warning: memory://lab: cannot be written (ConnectionError); pictures stay in {tmp_path / 'r'}, the same"
    assert done.stderr.count(line) == 1
    assert SECRET not in done.stderr
    assert (len(kept(memory)), len(pictures(tmp_path / "r"))) == (3, 5)
    before = tables(tmp_path / "r")
    done = run("--pictures-at=memory://lab")
    assert "0 images fused, 8 kept, 0 values computed" in done.stderr
    assert (len(kept(memory)), pictures(tmp_path / "r")) == (8, [])
    assert tables(tmp_path / "r") == before


def test_it_disappears_before_pictures_are_scored(memory: Any, run: Run, tmp_path: Path) -> None:
    """Failures for now; no record of a picture is lost."""
    run("--pictures-at=memory://lab")
    with pytest.MonkeyPatch.context() as patch:
        broken(memory, patch, "open", after=2)  # the trial
        done = run("--pictures-at=memory://lab", metrics="en,sf,vif")
    assert done.returncode == 2
    assert "cannot be read (ConnectionError)" in done.stderr
    with Store(tmp_path / "r", create=False) as store:
        assert len(store.score_rows()) == 16
    done = run("--pictures-at=memory://lab", metrics="en,sf,vif")
    assert (done.returncode, "0 images fused, 8 kept, 8 values" in done.stderr) == (0, True)


@pytest.mark.parametrize("name", ["pipe_file", "open"])
def test_it_is_not_there_at_all(memory: Any, run: Run, tmp_path: Path, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        broken(memory, patch, name)
        done = run("--pictures-at=memory://lab")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("error: memory://lab")
    assert "(ConnectionError)" in done.stderr
    assert SECRET not in done.stderr
    assert (kept(memory), pictures(tmp_path / "r")) == ([], [])


def test_another_command_does_not_make_them_anew_unasked(memory: Any, run: Run, tmp_path: Path) -> None:
    run("--pictures-at=memory://lab")
    done = run()
    assert done.returncode == 2
    assert "kept at memory://lab; give --pictures-at memory://lab, or --pictures-at here to make" in done.stderr
    done = run("--pictures-at=here")
    assert "8 images fused, 0 kept, 0 values computed" in done.stderr
    assert len(pictures(tmp_path / "r")) == 8
    assert run().returncode == 0


def test_from_one_address_to_another(memory: Any, run: Run) -> None:
    run("--pictures-at=memory://lab")
    done = run("--pictures-at=memory://new")
    assert "pictures were kept at memory://lab; what is not at memory://new is made again" in done.stderr
    assert kept(memory) == kept(memory, "/new")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (f"s3://key:{SECRET}@lab/x", "error: s3://lab/x: an address holds no credentials"),
        (f"s3://lab/x?token={SECRET}", "error: s3://lab/x?token=***: an address holds no credentials"),
        ("https://host/x", "error: https://host/x: nothing can be kept at an address of the web"),
        ("ssh://host/x", "error: ssh://host/x: an address begins with file://"),
        ("file://host/x", "error: file://host/x: a file:// address has three slashes"),
    ],
)
def test_addresses_that_are_refused(run: Run, tmp_path: Path, address: str, line: str) -> None:
    done = run("--pictures-at", address)
    assert (done.returncode, line in done.stderr) == (2, True)
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET not in done.stderr + done.stdout


def test_other_commands_on_s3(s3: Any, run: Run, tree: Path, tmp_path: Path) -> None:
    """Pages and merging find pictures there, or say where they are; no secret is kept or shown."""
    done = run("--pictures-at=s3://lab/ada", "--who=Ada")
    assert done.returncode == 0, done.stderr
    assert (len(s3.find("lab/ada")), pictures(tmp_path / "r")) == (8, [])
    told = f"{tmp_path / 'r'}: the pictures are kept at s3://lab/ada; FUSIONBENCH_PICTURES=s3://lab/ada reads them"
    heard = done.stderr
    for name, settings in (("without", {}), ("with", {"FUSIONBENCH_PICTURES": "s3://lab/ada"})):
        page = fusionbench("site", tmp_path / "r", "--pictures=2", "--out", tmp_path / f"page-{name}", **settings)
        whole = fusionbench("merge", tmp_path / "r", "--pictures=2", "--out", tmp_path / name, **settings)
        handed = fusionbench("verify", tmp_path / "r", "--data-root", tree, **settings)
        assert (page.returncode, whole.returncode, handed.returncode) == (0, 0, 1)
        heard += page.stderr + whole.stderr + handed.stdout
        assert (told in page.stderr, told in whole.stderr) == (not settings, not settings)
        assert f"refused: {tmp_path / 'r'}: " in handed.stdout
    assert (len(pictures(tmp_path / "without")), len(pictures(tmp_path / "with"))) == (0, 4)
    assert len(pictures(tmp_path / "page-with")) == 4
    done = fusionbench("verify", tmp_path / "with", "--pictures=2", "--data-root", tree)
    assert (done.returncode, "8 scores computed again" in done.stderr) == (0, True), done.stdout
    assert SECRET not in heard
    assert not any(SECRET.encode() in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_note_of_a_stranger_is_shown_and_not_followed(memory: Any, run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "r/pictures-at.txt").write_text(f"memory://trap/\x1b[31m?token={SECRET}\nmore")
    shutil.rmtree(tmp_path / "r/fused")
    done = fusionbench("site", tmp_path / "r", "--pictures=1", "--out", tmp_path / "page")
    assert r"kept at memory://trap/\x1b[31m?token=***" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "large"])
def test_what_else_lies_in_a_shared_folder(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for, followed or read without end; saving takes its place."""
    path = "fused/gff-k/d-test/a.png"
    place = tmp_path / "shared" / path
    place.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()
    else:
        place.write_bytes(bytes(1000))
        monkeypatch.setattr("fusionbench.results.shelf.LARGEST_PICTURE", 100)
    with KeptElsewhere(tmp_path / "r", SharedFolder(tmp_path / "shared")) as shelf:
        with pytest.raises(FusionbenchError, match=r"a\.png: "):
            shelf.read(path, "0" * 64)
        picture = np.full((1, 4, 5), 7, np.uint8)
        shelf.save(path, picture)
        monkeypatch.undo()
        assert np.array_equal(shelf.read(path, picture_digest(picture)), picture)
        for other in ("../escape.png", "fused/x/.hidden.png", "fused/../../a.png"):
            with pytest.raises(FusionbenchError, match="its path is not one of a fused picture"):
                shelf.read(other, "0" * 64)


def test_units_keep_theirs(memory: Any, tree: Path, tmp_path: Path) -> None:
    """Workers write there themselves; their stores come back without pictures."""
    request = Request(methods=("average", "gff"), datasets=("msrs",), metrics=("en",), data_root=tree)
    environment.keep_pictures("memory://lab")
    back: list[list[str]] = []

    class Watched(Gathering):
        def _take(self, unit: Any, ended: Any, folder: Path) -> None:
            back.append(pictures(folder))
            super()._take(unit, ended, folder)

    with Store(tmp_path / "r") as store:
        own = Watched(
            request=request,
            plan=make_plan(replace(request)),
            store=store,
            place=place(tree),
            command="eval",
            threads=1,
            note=print,
        )
        outcome, _ = own.run(Stub(), [])
        assert not outcome.failures
        assert store.shelf.settled(list) == []
    assert back == [[]]
    assert (len(kept(memory)), pictures(tmp_path / "r")) == (8, [])
