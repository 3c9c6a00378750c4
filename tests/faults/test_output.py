"""What strangers name: in tables, spreadsheets and terminals it is text and nothing else; and how a command ends."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from fusionbench.cli import main
from fusionbench.cli.spelling import finding, note
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import card
from fusionbench.report.formats import escape_markdown
from fusionbench.report.markup import csv_cell
from fusionbench.report.writing import write_text
from fusionbench.training.trouble import signals
from tests.conftest import fusionbench, make_tree, process

NAMES = [
    "<img src=x>",
    "a|b",
    "a`b`",
    "a\nb",
    "\x1b[31mred",
    "a\\|b",
    "**a**",
    "a](http://h)",
    "=1+1",
    "&lt;",
    "a\u202eb",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_in_tables_and_messages(tree: Path, tmp_path: Path, name: str) -> None:
    fusionbench("eval", "--methods=average", "--metrics=en", "--data-root", tree, "--out", tmp_path / "out")
    pictures = next((tmp_path / "out" / "fused").glob("*/*"))
    done = fusionbench(
        *("eval", "--methods=average", "--metrics=en", "--images", f"{name}={pictures}", "--data-root", tree),
        *("--out", tmp_path / "out"),
    )
    assert "internal error" not in done.stderr
    if done.returncode == 2:  # refused is well
        return
    texts = [done.stdout, done.stderr]
    texts += [p.read_text() for p in (tmp_path / "out" / "tables").iterdir() if p.suffix in (".md", ".csv", ".tex")]
    for text in texts:
        assert not {"\x1b", "\u202e"} & set(text)
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    columns = {line.replace("\\\\", "").replace("\\|", "").count("|") for line in table}
    assert len(columns) == 1
    assert len(table) == 4
    assert "<img" not in done.stdout
    assert "**a**" not in done.stdout.replace("\\*", "")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("<b>&amp;", "&lt;b>&amp;amp;"),
        (r"a\|b", r"a\\\|b"),
        ("a\r\nb\u2028c", "a b c"),
        ("`rm`", r"\`rm\`"),
        ("[a](b)", r"[a]\(b)"),
        ("images[Ours]", "images[Ours]"),
        ("gff[r1=30,eps1=0.1]_x", "gff[r1=30,eps1=0.1]_x"),
        ("\x9b\x07", r"\\x9b\\x07"),
    ],
)
def test_markdown(text: str, cell: str) -> None:
    assert escape_markdown(text) == cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_is_no_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"
    assert csv_cell("gff[a=-1]") == "gff[a=-1]"


def test_exported_names_are_no_formulas(tree: Path, tmp_path: Path) -> None:
    for role in ("ir", "vi"):
        folder = tree / "own" / role
        folder.mkdir(parents=True)
        first = sorted((tree / "MSRS/test" / role).iterdir())[0]
        (folder / "=cmd()|x.png").write_bytes(first.read_bytes())
    done = fusionbench(
        "eval", "--methods=average", "--metrics=en", f"--datasets=folder={tree / 'own'}", "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    assert fusionbench("export", "--out", tmp_path / "out", "-o", tmp_path / "a.csv").returncode == 0
    rows = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_text())))
    cells = [cell for row in rows for cell in row]
    assert "'=cmd()|x" in cells
    assert not [cell for cell in cells if cell.startswith("=")]


@pytest.mark.parametrize("print_", [note, finding])
def test_a_remark_is_one_line(print_: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    print_("failed: a\nerror: b\r\u2028c")
    assert "".join(capsys.readouterr()) == "failed: a\\nerror: b\\r\\u2028c\n"


def test_a_typed_word_is_not_obeyed_by_the_terminal() -> None:
    for words in (("\x1b[31m",), ("eval", "--\x1b[31m"), ("show", "\x1b[31m"), ("eval", "--methods", "\x1b[31m")):
        done = fusionbench(*words)
        assert done.returncode == 2
        assert "\x1b" not in done.stderr


EVIL = "\x1b[2J\x1b]2;gone\x07\x9b31m\u202e\u2066\r"
LOOKS = {
    "method": [("list",), ("list", "methods"), ("show", "evil"), ("doctor",)],
    "metric": [("list",), ("list", "metrics"), ("show", "evil"), ("explain", "evil", "1")],
    "dataset": [("list",), ("list", "protocols"), ("show", "evil"), ("data", "list"), ("data", "download", "evil")],
    "task": [("list",), ("list", "tasks"), ("show", "evil")],
}
NAMES_ALONE = (("doctor",), ("data", "list"), ("data", "download", "evil"))
CARDS = {"method": "laplacian", "metric": "en", "dataset": "vifb", "task": "saliency"}


@pytest.fixture
def evil(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A plugin folder whose card holds what a terminal obeys in every text that may be free."""
    kind = request.param
    source = card(kind, CARDS[kind]).path
    folder = tmp_path / "plugins" / "evil"
    shutil.copytree(source.parent, folder) if source.name == "card.toml" else folder.mkdir(parents=True)
    target = folder / "card.toml" if source.name == "card.toml" else folder / "evil.toml"
    if source.with_suffix(".py").exists() and source.name != "card.toml":
        shutil.copy(source.with_suffix(".py"), folder / "evil.py")
    text = source.read_text().replace(f'name = "{CARDS[kind]}"', 'name = "evil"', 1)
    text = text.replace("vifb-fusion", "evil-fusion")
    hidden = EVIL.encode("unicode_escape").decode().replace("\\x", "\\u00")
    free = r"title|summary|paper|venue|licence|help|note|formula|source|get|what|implementation"
    text = re.sub(rf'(?m)^((?:{free}) *= *"+)', lambda m: m[1] + hidden, text)
    text = re.sub(r'(\b(?:help|source|note|title|what) = ")', lambda m: m[1] + hidden, text)
    target.write_text(text)
    return folder if source.name != "card.toml" else folder.parent


@pytest.mark.parametrize(
    ("evil", "words"),
    [(kind, words) for kind, every in LOOKS.items() for words in every],
    indirect=["evil"],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_a_card_says_is_not_obeyed_by_the_terminal(evil: Path, words: tuple[str, ...]) -> None:
    done = fusionbench("--plugins", evil, *words)
    assert done.returncode in (0, 1, 2)
    for text in (done.stdout, done.stderr):
        assert "internal error" not in text
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(text)
    assert "\\x1b[2J" in done.stdout + done.stderr or words in NAMES_ALONE


def test_a_name_that_is_no_text_on_a_real_terminal(tmp_path: Path) -> None:
    done = process("data", "check", os.fsdecode(b"folder=\xff\xfe"))
    assert done.returncode == 2
    assert "internal error" not in done.stderr


@pytest.mark.parametrize("signal_code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_asked_to_end(tmp_path: Path, signal_code: tuple[signal.Signals, int]) -> None:
    number, code = signal_code
    make_tree(tmp_path / "data", 60, (240, 320))
    command = [sys.executable, "-m", "fusionbench", "eval", "--methods=gff,laplacian", "--metrics=vif,qabf", "--jobs=1"]
    command += ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(list((tmp_path / "out").rglob("*.png"))) < 2:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == code
    assert err.strip().splitlines()[-1] == "stopped; finished images are kept, the same command continues"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_training_within_another_verb_that_is_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    @click.command()
    def once() -> None:
        with signals() as interrupted:
            os.kill(os.getpid(), number)
            raise KeyboardInterrupt(*interrupted.numbers)  # as the loop does, between two steps

    @click.command()
    def twice() -> None:
        with signals():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)

    monkeypatch.setattr("fusionbench.cli.cli", click.Group(commands={"once": once, "twice": twice}))
    for words in (["once"], ["twice"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == code


def test_ctrl_c_while_the_command_line_is_imported(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, "-m", "fusionbench", "list"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert (done.returncode, done.stderr) == (130, "stopped; nothing was begun\n")


def test_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    fusionbench("list", "methods")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("words", [("list", "metrics"), ("show", "gff"), ("--help",)])
def test_output_onto_a_full_disk(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fusionbench", *words], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr.strip() == "error: the output: No space left on device"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_table_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> None:
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FusionbenchError, match="the disk is full; free some space and run the same command again"):
        write_text(tmp_path / "a.md", "x")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def test_what_killed_runs_left_is_swept(tmp_path: Path) -> None:
    names = {".a.md.999999.part": True, f".b.md.{os.getpid()}.part": False, ".mine.part": False, "c.999999.part": False}
    for name in names:
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (time.time() - 3600,) * 2)
    (tmp_path / ".new.md.999998.part").write_text("x")
    write_text(tmp_path / "a.md", "x" * 3)
    for name, gone in names.items():
        assert (tmp_path / name).exists() is not gone
    assert (tmp_path / ".new.md.999998.part").exists()
