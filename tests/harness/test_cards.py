"""Cards and the registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fusionbench import environment
from fusionbench.errors import PluginError
from fusionbench.evaluation.entries import entries, one_entry, runnable
from fusionbench.plugins import cards
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.plugins.registry import resolve
from fusionbench.runtime import locations
from tests.conftest import fusionbench

CARD = 'kind = "method"\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nobject = "Mine"\nversion = "1"\n'


def plugin(folder: Path, card: str = CARD, code: str = "class Mine:\n    pass\n", name: str = "mine") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(card)
    (folder / f"{name}.py").write_text(code)
    return folder


def test_every_kind_is_found() -> None:
    assert {"average", "refusion", "visible", "infrared"} <= set(cards.cards("method"))
    assert {"en", "vif"} <= set(cards.cards("metric"))
    assert {"msrs", "tno", "folder"} <= set(cards.cards("dataset"))


def test_a_folder_given_by_the_user_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(plugin(tmp_path / "p")))
    environment.apply()
    assert resolve("method", "mine").__name__ == "Mine"


def test_two_folders_may_use_a_name_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        folder = plugin(tmp_path / str(number), code=f"class Mine:\n    number = {number}\n")
        monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(folder))
        environment.apply()
        assert resolve("method", "mine").number == number


TIED = (
    CARD
    + """requires_weights = true

[options.scheme]
default = "max"
help = "which"

[[weights]]
name = "sum"
sha256 = "%s"
trained_on = "pairs"
options = { scheme = %s }
"""
)


def test_options_that_a_checkpoint_runs_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path / "p", TIED % ("5" * 64, '"sum"'))
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path / "p"))
    environment.apply()
    for name, digest in (("sum", "5" * 64), ("own", "6" * 64)):
        record = locations.current().cache / "weights/mine" / f"{name}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        facts = {"method": "mine", "name": name, "sha256": digest, "stored_sha256": "1", "trained_on": "x"}
        record.write_text(json.dumps({**facts, "listed": name == "sum"}))
    found = {
        spec: one_entry(spec) for spec in ("mine[sum]", "mine[own]", "mine[sum,scheme=max]", "mine[own,scheme=sum]")
    }
    assert {spec: entry.id for spec, entry in found.items()} == {spec: spec for spec in found}
    assert [e.options for e in found.values()] == [{"scheme": "sum"}, {}, {}, {"scheme": "sum"}]
    assert one_entry("mine[sum,scheme=sum]").id == "mine[sum]"
    assert len({e.key for e in found.values()}) == 4


ASIDE = (
    CARD
    + """requires_weights = true

[[weights]]
name = "grey"
sha256 = "%s"
trained_on = "pairs"
aside = "its nights are grey"

[[weights]]
name = "good"
sha256 = "%s"
trained_on = "pairs"
"""
)


def test_weights_that_their_card_sets_aside_run_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {"grey": "5" * 64, "good": "6" * 64, "own": "7" * 64}
    plugin(tmp_path / "p", ASIDE % (digests["grey"], digests["good"]))
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path / "p"))
    environment.apply()
    for name, digest in digests.items():
        record = locations.current().cache / "weights/mine" / f"{name}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        facts = {"method": "mine", "name": name, "sha256": digest, "stored_sha256": "1", "trained_on": "x"}
        record.write_text(json.dumps({**facts, "listed": name != "own"}))
    rows, skipped = runnable()
    assert [row.id for row in rows if row.card.name == "mine"] == ["mine[good]", "mine[own]"]
    (line,) = (str(skip) for skip in skipped if skip.what.startswith("mine"))
    assert line == "mine[grey]: its nights are grey; name it with methods=mine[grey]"
    assert one_entry("mine[grey]").id == "mine[grey]"
    assert len(entries("mine")[0]) == 3
    costs, _ = runnable(untrained=True)  # what a network costs does not depend on its weights
    assert "mine[grey]" in {row.id for row in costs}
    done = fusionbench("--plugins", tmp_path / "p", "show", "mine")
    assert "not in eval --all: its nights are grey" in done.stdout


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (ASIDE.replace('"its nights are grey"', "true") % ("5" * 64, "6" * 64), "aside"),
        (TIED % ("5" * 64, "3"), "weights sum set scheme to another type"),
        (TIED.replace("[options.scheme]", "[options.other]") % ("5" * 64, '"sum"'), "'scheme', which is no option"),
        ("kind = ", "not a readable TOML card"),
        (CARD.replace('title = "Mine"\n', ""), "the card lacks title"),
        (CARD.replace('"method"', '"thing"'), "kind 'thing' is none of"),
        (CARD.replace('name = "mine"', 'name = "average"'), "already exists"),
    ],
)
def test_a_bad_card_is_one_clear_line(tmp_path: Path, card: str, message: str) -> None:
    plugin(tmp_path / "p", card)
    done = fusionbench("--plugins", tmp_path / "p", "list", "methods")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "mine.toml" in done.stderr


METRIC = CARD.replace('"method"', '"metric"') + (
    'direction = "up"\nrange = [0, 1]\ndefault = "a"\n[variants.a]\nformula = "x"\n[variants.b]\nformula = "y"\n'
)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (CARD.replace("title", "tilte"), "the card has no key 'tilte'; did you mean title"),
        (CARD.replace('version = "1"', "version = 1"), "version: expected text, got a whole number"),
        (CARD + 'year = "old"\n', "year: expected a whole number, got text"),
        (METRIC.replace('"up"', '"left"'), "direction: 'left' is none of down, up"),
        (METRIC + "formla = 1\n", "variants.b has no key 'formla'; did you mean formula?"),
        (METRIC + "options = 3\n", "variants.b.options: expected a table, got a whole number"),
        (METRIC + '[[variants.b.oracles]]\nfile = "x"\n', "variants.b.oracles[0] lacks metric"),
        (METRIC + "[options.level]\ndefault = [1]\nhelp = 'x'\n", "options.level.default: expected true or false or"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, card: str, message: str) -> None:
    folder = plugin(tmp_path / "p", card)
    with pytest.raises(PluginError) as caught:
        cards.read(folder / "mine.toml", None)
    assert str(caught.value).startswith(f"{folder / 'mine.toml'}: {message}")
    assert "\n" not in str(caught.value)


def test_profiles_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for colour, message in (
        ("gray", ""),
        ("grey", ""),
        ("gry", "lab: 'gry' is no colour rule; did you mean grey?"),
    ):
        (tmp_path / colour).mkdir()
        (tmp_path / colour / "profiles.toml").write_text(f'[lab]\ntitle = "Lab"\ncolour = "{colour}"\n')
        monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path / colour))
        environment.apply()
        if message:
            with pytest.raises(PluginError, match=re.escape(message)):
                cards.profiles()
        else:
            assert cards.profiles()["lab"].colour == "grey"


def test_a_card_without_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plugin(tmp_path / "p") / "mine.py").unlink()
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(tmp_path / "p"))
    environment.apply()
    with pytest.raises(PluginError, match="no code beside the card"):
        cards.cards("method")


@pytest.mark.parametrize(
    ("code", "message"),
    [("raise OSError('boom')", "importing it failed: OSError: boom"), ("x = 1", "defines no 'Mine'")],
)
def test_code_that_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str) -> None:
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(plugin(tmp_path / "p", code=code)))
    environment.apply()
    with pytest.raises(PluginError, match=message):
        resolve("method", "mine")


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(PluginError, match="did you mean average"):
        cards.card("method", "avarage")


def test_the_code_hash_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plugin(tmp_path / "p")
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(folder))
    environment.apply()
    before = code_hash(cards.read(folder / "mine.toml", None))
    (folder / "mine.toml").write_text(CARD + "# a comment in the card changes nothing\n")
    assert code_hash(cards.read(folder / "mine.toml", None)) == before
    (folder / "mine.py").write_text("class Mine:\n    number = 2\n")
    assert code_hash(cards.read(folder / "mine.toml", None)) != before


def test_the_version() -> None:
    import importlib.metadata

    import fusionbench as package

    assert package.__version__ == importlib.metadata.version("ivif-fusionbench")


def test_listing_and_help_import_nothing_heavy() -> None:
    for arguments in (["--help"], ["list"], ["show", "vif"], ["eval", "--help"]):
        code = (
            f"import sys; sys.argv[1:] = {arguments!r}\n"
            "from fusionbench.cli import main\n"
            "try: main()\n"
            "except SystemExit as e: assert not e.code, e.code\n"
            "heavy = {'torch', 'mmengine', 'numpy', 'pandas'} & set(sys.modules)\n"
            "plugins = [m for m in sys.modules if m.startswith(('fusionbench.methods.', 'fusionbench.metrics.'))]\n"
            "assert not heavy and not plugins, (heavy, plugins)\n"
        )
        import subprocess
        import sys

        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, (arguments, done.stderr)


def test_no_harness_file_names_a_plugin() -> None:
    """The harness knows no method, metric or dataset by name."""
    import ast

    names = {n for k in cards.KINDS for n in cards.cards(k)} - {
        "folder",
        "images",
        "saliency",  # also the name of a label
        "seafusion",  # also the name of a colour formula
        "segmentation",  # also a key of datasets' cards
        "average",
        "maximum",
        "visible",
        "infrared",
        "en",
        "cc",
        "ce",
        "ei",
        "ag",
        "sd",
        "sf",
        "mi",
    }
    home = Path(environment.__file__).parent
    for path in (p for p in home.rglob("*.py") if p.relative_to(home).parts[0] not in ("datasets", "tasks", "scenes")):
        tree = ast.parse(path.read_text())
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                assert node.value not in names, (
                    f"{path.relative_to(home)}:{node.lineno} names the plugin {node.value!r}"
                )
