"""Names as people type them and as our tables print them; what is near is named, what is not clear refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from fusionbench.cli import VERBS, cli
from fusionbench.cli.words import Group, spelled
from fusionbench.errors import FusionbenchError, did_you_mean, find
from fusionbench.evaluation.entries import entries
from fusionbench.evaluation.picture_folders import from_folder
from fusionbench.evaluation.protocol import metric, profile_name, variants_of
from fusionbench.naming import fold, matches, nearest
from fusionbench.plugins.cards import KINDS, card, cards, profiles
from fusionbench.plugins.trainable import trainings
from fusionbench.training.request import TrainRequest
from fusionbench.training.settings import kinds
from tests.conftest import Done, fusionbench

PLUGINS = [(kind, name) for kind in KINDS for name in cards(kind)]
VARIANTS = [f"{name}@{v}" for name, c in cards("metric").items() for v in c.facts.variants]
PROTOCOLS = [p for c in cards("dataset").values() for p in c.facts.protocols]
NETWORKS = [n for c in cards("task").values() for n in c.facts.networks]


def refused(*arguments: object) -> str:
    """The one line that a command ends with."""
    done = fusionbench(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def other(name: str) -> list[str]:
    """How people write a name."""
    return [name.upper(), name.capitalize(), name.replace("_", "-"), name.replace("-", "_"), f" {name} "]


# ---------------------------------------------------------------- matching


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("a", ["a", "A"], ["a"]),
        ("A", ["a", "b"], ["a"]),
        ("A", ["a", "á"], ["a"]),
        ("Ab", ["ab", "aB"], ["ab", "aB"]),
        ("a-b", ["a_b", "ab"], ["a_b", "ab"]),
        ("a-b", ["a_b", "a-b"], ["a-b"]),
        ("A B", ["a_b"], ["a_b"]),
        ("e\u0301", ["\u00e9"], ["\u00e9"]),
        ("", ["a"], []),
        ("-", ["a", "_"], []),
        ("U2Fusion+", ["U2Fusion"], []),
    ],
)
def test_matches(name: str, known: list[str], expected: list[str]) -> None:
    assert matches(name, known) == expected


def test_titles_come_behind_names() -> None:
    titles = {"gff": ("GFF",), "images[GFF]": ("GFF",)}
    assert matches("gff", titles, titles) == ["gff"]
    assert matches("GFF", titles, titles) == ["gff", "images[GFF]"]
    with pytest.raises(FusionbenchError, match=r"no entry 'GFF': it may be gff or images\[GFF\]"):
        find("GFF", titles, "no entry", titles)


def test_the_nearest_are_named_in_any_case() -> None:
    assert nearest("SIM", ["ssim", "vif"]) == ["ssim"]
    assert nearest("seg", ["segmentation", "detection"]) == ["segmentation"]
    assert did_you_mean("XYZ", ["vif"]) == "there are: vif"
    assert did_you_mean("x", []) == "there are: none"


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_plugin_in_other_letters(kind: str, name: str) -> None:
    for typed in [*other(name), cards(kind)[name].title, cards(kind)[name].title.lower()]:
        assert card(kind, typed).name == name
    with pytest.raises(FusionbenchError, match=f"no {kind} '{name}x'; did you mean .*{name}"):
        card(kind, f"{name}x")


def test_no_two_plugins_of_a_kind_are_taken_for_each_other() -> None:
    for kind in KINDS:
        every = [fold(text) for c in cards(kind).values() for text in {fold(c.name), fold(c.title)}]
        assert len(every) == len(set(every)), kind


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize("number", VARIANTS)
def test_every_variant_as_tables_print_it(number: str) -> None:
    m = metric(number)
    title, latex = m.title, m.title.replace("_", r"\_")
    arrow = "↑" if m.up else "↓"
    for typed in (number.upper(), title, f"{title} {arrow}", rf"{latex} $\{'up' if m.up else 'down'}arrow$"):
        assert metric(typed).id == number
    assert metric(f"{title}/per_channel {arrow}").id == f"{number}/per-channel"
    assert [v.id for v in variants_of(title)] == [number]


@pytest.mark.parametrize("typed", ["MI", "Vif", "QAB/F", "Q^{AB/F}", "$Q^{AB/F}$", "ms-ssim", "MSSSIM", "N_abf", "Q_y"])
def test_metrics_as_papers_print_them(typed: str) -> None:
    plain = "".join(c for c in typed.lower() if c.isalpha())
    name = "ms_ssim" if plain == "msssim" else plain
    assert [m.card.name for m in variants_of(typed)] == [name]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("viff2", "no metric 'viff2'; did you mean viff"),
        ("vif@cddfusion", "vif has no variant 'cddfusion'; did you mean tdfusion, cddfuse?"),
        ("VIF@tang/joint", "vif@tang/joint: 'joint' is no colour rule; did you mean joined"),
        ("ssmi@wang ↑", "no metric 'ssmi'; did you mean ssim"),
        ("mIoU", "mIoU is a score of the task segmentation"),
        ("AP50@coco", "AP50@coco is a score of the task detection"),
    ],
)
def test_metrics_that_are_none(typed: str, message: str) -> None:
    with pytest.raises(FusionbenchError) as error:
        variants_of(typed)
    assert message in str(error.value)


def test_a_colour_rule_without_a_variant() -> None:
    assert [m.id for m in variants_of("vif/per-channel")] == ["vif@tdfusion/per-channel"]
    assert [m.id for m in variants_of("SF/Joined", "tang")] == ["sf@mean/joined"]
    assert {m.colour for m in variants_of("vif@ALL/gray")} == {"grey"}


@pytest.mark.parametrize("name", [*profiles(), "default"])
def test_every_profile(name: str) -> None:
    for typed in other(name):
        assert profile_name(typed) == name
    if name != "default":
        assert profile_name(profiles()[name].title) == name
    with pytest.raises(FusionbenchError, match=f"no profile '{name}x'; did you mean"):
        profile_name(f"{name}x")


# ---------------------------------------------------------------- methods


def test_entries_in_other_letters() -> None:
    (entry,), _ = entries("Laplacian pyramid[ Levels = 3 ]")
    assert entry.id == "laplacian[levels=3]"
    (entry,), _ = entries("ReFusion[SCENES]")
    assert entry.id == "refusion[scenes]"
    with pytest.raises(FusionbenchError, match=r"no option 'level'; did you mean levels"):
        entries("laplacian[level=3]")
    with pytest.raises(FusionbenchError, match=r"no weights 'scene' here; did you mean scenes\? "):
        entries("refusion[scene]")


@pytest.mark.parametrize("typed", ["images[Ours]", "Images[name=Ours]"])
def test_pictures_among_methods_are_told_their_option(typed: str) -> None:
    assert "are given with --images Ours=DIR" in refused("eval", "--methods", typed, "--datasets", "msrs")


def test_pictures_may_be_named_as_tables_do(tmp_path: Path) -> None:
    assert from_folder(f"images[Ours]={tmp_path}").id == from_folder(f"Ours={tmp_path}").id == "images[Ours]"
    assert from_folder(f"[Ours]={tmp_path}").id == "images[[Ours]]"


# ---------------------------------------------------------------- tables and what is made of them


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a method and of three folders of pictures, two of which differ in case only."""
    from tests.conftest import make_tree

    root = tmp_path_factory.mktemp("names")
    make_tree(root / "data", 3)
    assert fusionbench("EVAL", "--method=Average", "--metrics=EN@bits ↑,Mi", "--dataset=MSRS",
                       "--data_root", root / "data", "-o", root / "r").returncode == 0  # fmt: skip
    folder = next((root / "r").rglob("*.png")).parent
    words: list[object] = []
    for name in ("Ours", "ours", "Mine"):
        shutil.copytree(folder, root / name)
        words += ["--images", f"{name}={root / name}"]
    done = fusionbench("eval", *words, "--methods=average,gff,gff[r1=3,eps1=0.5]", "--metrics=EN@bits,MI@bits",
                       "--datasets=msrs", "--data-root", root / "data", "--out", root / "r")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root


def rows(done: Done) -> set[str]:
    return {row["id"] for row in json.loads(done.stdout)["rows"]}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Mine", {"images[Mine]"}),
        ("MINE", {"images[Mine]"}),
        ("Images[mine]", {"images[Mine]"}),
        ("Ours", {"images[Ours]"}),
        ("ours", {"images[ours]"}),
        ("images[Ours]", {"images[Ours]"}),
        ("Average", {"average"}),
        ("images", {"images[Ours]", "images[ours]", "images[Mine]"}),
        ("gff[r1=3,eps1=0.5]", {"gff[eps1=0.5,r1=3]"}),
    ],
)
def test_rows_of_a_leaderboard(scored: Path, typed: str, expected: set[str]) -> None:
    done = fusionbench("leaderboard", "--out", scored / "r", "--methods", typed, "--format=JSON", "--dataset=Msrs")
    assert done.returncode == 0, done.stderr
    assert rows(done) == expected


def test_what_is_not_clear_is_refused(scored: Path) -> None:
    line = refused("leaderboard", "--out", scored / "r", "--methods", "OURS")
    assert "'OURS' may be images[Ours] or images[ours]" in line
    line = refused("compare", "images", "average", "--out", scored / "r")
    assert "name one" in line
    line = refused("leaderboard", "--out", scored / "r", "--methods", "Mien")
    assert "no entry 'Mien'; did you mean Mine" in line
    assert "there are: average, " in line


def test_compare_stability_and_export(scored: Path, tmp_path: Path) -> None:
    done = fusionbench("compare", "MINE", "Average", "--out", scored / "r", "--metric", "EN@bits ↑", "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)[0]["metrics"]["en@bits"]) >= {"images[Mine]", "average"}
    done = fusionbench("export", "--out", scored / "r", "--method=mine", "-o", tmp_path / "s.CSV", "--datasets=MSRS")
    assert done.returncode == 0, done.stderr
    assert "images[Mine]" in (tmp_path / "s.CSV").read_text()
    line = refused("stability", "--dataset=MSRS", "--profiles=Tang,tangg", "--out", scored / "r")
    assert "no profile 'tangg'; did you mean tang" in line


def test_reproduce_takes_the_name_of_pictures_in_any_case(scored: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.json"
    assert fusionbench("leaderboard", "--out", scored / "r", "--methods=Mine,average", "-o", table).returncode == 0
    for name in ("mine", "images[Mine]"):
        done = fusionbench("reproduce", table, "--images", f"{name}={scored / 'Mine'}", "--data-root", scored / "data")
        assert done.returncode == 0, done.stdout + done.stderr
    line = refused("reproduce", table, "--images", f"Mien={scored / 'Mine'}", "--data-root", scored / "data")
    assert "the table has no such pictures: 'Mien'; did you mean Mine" in line


@pytest.mark.parametrize(
    ("name", "begins"),
    [("t.csv", "entry,"), ("t.CSV", "entry,"), ("t.tex", "% In the preamble"), ("t.json", "{"), ("t.md", "MSRS, ")],
)
def test_the_suffix_says_the_format(scored: Path, tmp_path: Path, name: str, begins: str) -> None:
    done = fusionbench("leaderboard", "--out", scored / "r", "-o", tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).read_text().startswith(begins)
    assert (tmp_path / "t.provenance.json").is_file()


def test_suffixes_that_are_none(scored: Path, tmp_path: Path) -> None:
    for name in ("t.xls", "t", "t.csv.gz"):
        assert "must end in .md, .tex, .csv, .json, .html or .xlsx" in refused(
            "leaderboard", "--out", scored / "r", "-o", tmp_path / name
        )
    line = refused("leaderboard", "--out", scored / "r", "-o", tmp_path / "t.csv", "--format=latex")
    assert "the name says csv, --format says latex" in line
    assert fusionbench("leaderboard", "--out", scored / "r", "-o", tmp_path / "t.txt", "--format=Tex").returncode == 0
    assert not list(tmp_path.glob("t.csv*"))


# ---------------------------------------------------------------- verbs, options, choices


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_in_other_letters(verb: str) -> None:
    context = click.Context(cli)
    for typed in (verb.upper(), verb.capitalize()):
        assert cli.resolve_command(context, [typed])[0] == verb
    with pytest.raises(click.UsageError, match=f"no command '{verb}z'; did you mean .*{verb}"):
        cli.resolve_command(context, [f"{verb}z"])


def commands() -> list[click.Command]:
    """Every command that takes options."""
    context = click.Context(cli)
    every = [cli.get_command(context, verb) for verb in VERBS]
    below = [c for command in every if isinstance(command, click.Group) for c in command.commands.values()]
    return [c for c in [*every, *below] if c is not None and not isinstance(c, click.Group)]


def test_every_option_in_other_letters() -> None:
    for command in commands():
        options = [word for p in command.params if isinstance(p, click.Option) for word in p.opts]
        assert spelled(command, options) == options
        for word in options:
            if word.startswith("--"):
                for typed in (word.upper(), word[:2] + word[2:].replace("-", "_"), f"{word.title()}=x"):
                    assert spelled(command, [typed]) == [word + ("=x" if typed.endswith("=x") else "")], command.name


def test_dataset_and_datasets_output_and_out() -> None:
    for command in commands():
        options = {word for p in command.params if isinstance(p, click.Option) for word in p.opts}
        assert not options & {"--dataset", "--method", "--metric"}, command.name
        for word in options & {"--datasets", "--methods", "--metrics"}:
            assert spelled(command, [word[:-1]]) == [word]
        if options & {"--out", "--output"}:
            files = "--output" in options
            assert spelled(command, ["-o"])[0] in (("-o", "--output") if files else ("--out",))
            assert spelled(command, ["--output"]) == ["--output" if files else "--out"]
            assert spelled(command, ["--out"]) == ["--out" if "--out" in options else "--output"]


def test_words_that_are_no_options_stay() -> None:
    command = click.Command("x", params=[click.Option(["--datasets"]), click.Option(["--out"])])
    words = ["--", "--dataset", "-o"]
    assert spelled(command, words) == words
    assert spelled(command, ["a=--dataset", "--unknown", "-x", "-3"]) == ["a=--dataset", "--unknown", "-x", "-3"]


def test_a_folder_without_a_name(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)  # holds a folder MSRS, which says nothing about the data set of that name
    assert fusionbench("data", "check", "MSRS", "--data-root", tree).returncode == 0
    for verb in (("eval", "--methods=average", "--datasets"), ("data", "check")):
        line = refused(*verb, tree / "MSRS")
        assert f"a folder; name the dataset whose layout it has before it, such as fmb={tree / 'MSRS'}" in line


def test_lists_of_what_is_asked_for() -> None:
    assert set(json.loads(fusionbench("list", "Network", "--json").stdout)["networks"]) == set(NETWORKS)
    assert set(json.loads(fusionbench("list", "variants", "--json").stdout)["variants"]) == set(VARIANTS)
    assert "networks" not in json.loads(fusionbench("list", "--json").stdout)


def test_groups_name_the_nearest_verb() -> None:
    for group in ("data", "weights", "figure"):
        assert isinstance(cli.get_command(click.Context(cli), group), Group)
    assert "no command 'lst'; did you mean list" in refused("data", "lst")
    assert fusionbench("Data", "LIST").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "metods"), "did you mean methods"),
        (("list", "methodes", "--json"), "did you mean methods"),
        (("completion", "bsh"), "did you mean bash"),
        (("show", "vif", "--kind", "metrik"), "did you mean metric"),
        (("show", "fusoin"), "no plugin 'fusoin'; did you mean "),
        (("validate", "vfi"), "no plugin 'vfi'; did you mean vif"),
        (("explain", "vfi", "1"), "no metric 'vfi'; did you mean vif"),
        (("explain", "vif@cdd", "1"), "did you mean cddfuse"),
        (("data", "check", "mrs"), "no dataset 'mrs'; did you mean msrs"),
        (("data", "synth", "--like", "MSRSS", "--out", "x"), "no dataset 'MSRSS'; did you mean msrs"),
        (("data", "download", "rodscene"), "did you mean roadscene"),
        (("weights", "add", "refuson", "x.pth"), "no method 'refuson'; did you mean refusion"),
        (("weights", "remove", "refusion", "scene"), "did you mean scenes"),
        (("fuse", "avrage", "--ir", "{a}", "--vis", "{a}", "-o", "x.png"), "did you mean average"),
        (("fuse", "gff", "--ir", "{a}", "--vis", "{a}", "--out", "x", "--output-rule=clipround2"), "clip-round"),
        (("figure", "view", "tdfusion:wieghts", "--pair", "{a}", "{a}"), "did you mean weights"),
        (("eval", "--methods", "Averge"), "no method 'Averge'; did you mean average"),
        (("eval", "--all", "--profile", "cddfus"), "no profile 'cddfus'; did you mean cddfuse"),
        (("eval", "--all", "--output-rule", "realesed"), "did you mean released"),
        (("train", "refuson", "--datasets", "msrs"), "did you mean refusion"),
        (("train", "cldyn", "--stage", "VFM", "--datasets", "msrs"), "its stages are "),
        (("train", "Segformer_B9", "--datasets", "msrs"), "did you mean segformer-b"),
        (("train", "tdfusion", "--datasets", "fmb", "--size", "tony"), "did you mean tiny"),
        (("train", "tdfusion", "--datasets", "fmb", "--cfg-options", "epoch=1"), "did you mean epochs"),
    ],
)
def test_did_you_mean(words: tuple[str, ...], message: str, tree: Path) -> None:
    picture = str(next(tree.rglob("*.png")))
    assert message in refused(*(word.replace("{a}", picture) for word in words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tasks", "Segmentatoin"), "no task 'Segmentatoin'; did you mean segmentation"),
        (("--tasks", "segmentation", "--task-networks", "segformer_b9"), "did you mean segformer-b"),
        (("--tasks", "segmentation", "--task-protocols", "frosen"), "did you mean frozen"),
        (("--tasks", "segmentation", "--task-size", "Tinny"), "no size 'Tinny'; did you mean tiny"),
        (("--split", "tset"), "msrs has no split 'tset'; did you mean test"),
    ],
)
def test_did_you_mean_of_tasks_and_splits(words: tuple[str, ...], message: str, tree: Path, tmp_path: Path) -> None:
    line = refused("eval", "--methods=average", "--datasets=msrs", "--data-root", tree, "--out", tmp_path / "r", *words)
    assert message in line


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("name", sorted({t.name for t in trainings()}))
def test_every_trainable_name(name: str) -> None:
    one = next(t for t in trainings() if t.name == name)
    for typed in other(name):
        request = TrainRequest(
            name=typed, stage=one.stage.upper() or None, datasets=(f"{one.datasets[0].upper()}=x",), size=" TINY"
        )
        known = request.canonical()
        assert (known.name, known.stage, known.datasets, known.size) == (
            name,
            one.stage or None,
            (f"{one.datasets[0]}=x",),
            "tiny",
        )


@pytest.mark.parametrize("name", sorted({t.name for t in trainings()}))
def test_show_config_leaves_no_setting_out(name: str) -> None:
    """Every setting with its value, as the recipe's record has it; a wrong one is named once."""
    one = next(t for t in trainings() if t.name == name)
    words = ["train", name, "--datasets", one.datasets[0], *(["--stage", one.stage] if one.stage else [])]
    shown = json.loads(fusionbench(*words, "--show-config").stdout)
    request = TrainRequest(name=name, stage=one.stage or None, datasets=one.datasets[:1])
    assert list(shown) == list(kinds(type(request.settings)))
    line = refused(*words, "--cfg-options", "train.epoch=1")
    assert line.count("epochs") == 1
    line = refused(*words, "--cfg-options", "train.foo=1")
    suggested = line.rpartition(": ")[2].split(", ")
    assert len(suggested) == len(set(suggested)) > 1
    done = fusionbench(*words, "--cfg-options", "Train.EPOCHS=7", "Precision=BF16", "--show-config")
    changed = json.loads(done.stdout)
    assert (changed["epochs"], changed["precision"]) == (7, "bf16")


# ---------------------------------------------------------------- show


def shown(*words: object) -> list[dict[str, object]]:
    done = fusionbench("show", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_show_in_other_letters(kind: str, name: str) -> None:
    assert shown(cards(kind)[name].title, "--kind", kind.upper())[0]["name"] == name


CASES: list[tuple[str, str, Callable[[str], str]]] = [
    *(("variant", name, str) for name in VARIANTS),
    *(("profile", name, str) for name in (*profiles(), "default")),
    *(("protocol", f"{name}@v1", str) for name in PROTOCOLS),
    *(("network", name, str) for name in NETWORKS),
]


@pytest.mark.parametrize(("kind", "name"), [case[:2] for case in CASES])
def test_show_explains_every_name(kind: str, name: str) -> None:
    for typed in (name, name.upper(), f"{name} ↑" if kind == "variant" else name.partition("@")[0]):
        found = [m for m in shown(typed) if m.get("kind") == kind and m.get("lines")]
        assert [m["name"] for m in found] == [name], typed
    assert name in fusionbench("show", name).stdout


@pytest.mark.parametrize(
    ("typed", "name", "text"),
    [
        ("vifb-fusion@v1+profile=tang", "vifb-fusion@v1+profile=tang", "vif@tang"),
        ("VIFB-Fusion@1", "vifb-fusion@v1", "split:    test"),
        ("msrs-fusion@v1+metrics=en@bits,vif@tang", "msrs-fusion@v1+metrics=en@bits,vif@tang", "en@bits,vif@tang"),
        ("tno-fusion@v1+split=all+output=clip-round", "tno-fusion@v1+split=all+output=clip-round", "output clip-round"),
        ("scenes-msrs-fusion@v1", "scenes-msrs-fusion@v1", "generated"),
        ("refusion[ivif]", "refusion[ivif]", "fusionbench weights add refusion"),
        ("ReFusion[Scenes]", "refusion[scenes]", "(here)"),
        ("GFF[R1=30]", "gff[r1=30]", "default 45"),
        ("images[Ours]", "images[Ours]", "--images Ours=DIR"),
        ("vif/per-channel", "vif@tdfusion/per-channel", "each RGB channel"),
        ("clip_round", "clip-round", "output rule"),
        ("joined", "joined", "side by side"),
        ("mIoU", "miou@tdfusion", "--tasks segmentation"),
        ("AP@coco ↑", "ap@coco", "--tasks detection"),
        ("Retrained", "retrained", "fixed recipe"),
    ],
)
def test_show_explains(typed: str, name: str, text: str) -> None:
    (found,) = shown(typed)
    assert found["name"] == name
    assert text in fusionbench("show", typed).stdout


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("vif@cdd", "vif has no variant 'cdd'; did you mean cddfuse"),
        ("vifb-fusion@v7", "vifb-fusion is at version 1"),
        ("vifb-fusion@v1+profile=tangg", "did you mean tang"),
        ("vifb-fusion@v1+colour=x", "no such change"),
        ("refusion[ivf]", "did you mean ivif"),
        ("gff[radius=3]", "gff has no option 'radius'"),
        ("average[x]", "average takes no weights"),
        ("tagn", "did you mean tang"),
        ("segformer-b9", "did you mean segformer-b"),
        ("vifb-fusoin", "did you mean vifb-fusion"),
    ],
)
def test_show_names_what_is_near(typed: str, message: str) -> None:
    assert message in refused("show", typed)
