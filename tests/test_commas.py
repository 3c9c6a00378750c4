"""Lists with commas and NAME=VALUE: what is typed is what is meant, and what is printed can be typed back."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fusionbench.cli.options import Comma
from fusionbench.commas import items, listed, parted, typed
from fusionbench.evaluation.picture_folders import from_folder
from fusionbench.pixels.images import write_image
from tests.conftest import Done, fusionbench


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b", ("a", "b")),
        (" a , b ,, ", ("a", "b")),
        ("gff[r1=3,r2=4],average", ("gff[r1=3,r2=4]", "average")),
        ("cldyn[scenes,task=saliency]", ("cldyn[scenes,task=saliency]",)),
        ("crop=(96,128),batch=2", ("crop=(96,128)", "batch=2")),
        ("a],b", ("a]", "b")),
        ('"a,b",c', ("a,b", "c")),
        (' "a,b" , "c"', ("a,b", "c")),
        ('"a[b",c', ("a[b", "c")),
        ('"say ""x"", y"', ('say "x", y',)),
        ('5" pipe,c', ('5" pipe', "c")),
        ('""', ()),
        ("", ()),
    ],
)
def test_items(text: str, expected: tuple[str, ...]) -> None:
    assert items(text) == expected


@pytest.mark.parametrize("text", ['"a,b', 'c,"a,b', '"a"b', '"', '"a" b,c'])
def test_quotes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="quotes go around a whole name"):
        items(text)

    @click.command()
    @click.option("--ids", type=Comma())
    def command(ids: tuple[str, ...]) -> None:
        raise AssertionError(ids)

    done = CliRunner().invoke(command, ["--ids", text])
    assert done.exit_code == 2
    assert "Invalid value for '--ids'" in done.output


@given(st.lists(st.text('ab,[]()"= ', min_size=1), max_size=4))
def test_what_is_listed_can_be_typed_back(names: list[str]) -> None:
    assert items(listed(names)) == tuple(names)


def test_quotes_stand_where_they_are_needed() -> None:
    assert listed(["a", "gff[r1=3,r2=4]", "a,b"]) == 'a, gff[r1=3,r2=4], "a,b"'
    assert typed('a"b') == 'a"b'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=d", ("A", "=", "d")),
        ("A[b=1,c=2]=d=e", ("A[b=1,c=2]", "=", "d=e")),
        ("A[b[c=1]=2]=d", ("A[b[c=1]=2]", "=", "d")),
        ("A=d[e=1]", ("A", "=", "d[e=1]")),
        ("A[b=1", ("A[b", "=", "1")),
        ("A[b=1]", ("A[b=1]", "", "")),
        ("A]=d", ("A]", "=", "d")),
        ("A", ("A", "", "")),
    ],
)
def test_names_with_brackets(text: str, expected: tuple[str, str, str]) -> None:
    assert parted(text) == expected


def test_a_folder_of_pictures_whose_name_has_options(tmp_path: Path) -> None:
    for name in ("A[b=1,c=2]", "images[A[b=1,c=2]]"):
        entry = from_folder(f"{name}={tmp_path}")
        assert (entry.id, entry.options["dir"]) == ("images[A[b=1,c=2]]", str(tmp_path.resolve()))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs, two of them with a comma in their names, and pictures of a program whose name has options."""
    root = tmp_path_factory.mktemp("commas")
    for number, name in enumerate(("a,b", "c,d", "e")):
        for role in ("ir", "vis"):
            pixels = np.random.default_rng([number, role == "ir"]).integers(0, 256, (1, 40, 48), dtype=np.uint8)
            (root / "own" / role).mkdir(parents=True, exist_ok=True)
            write_image(root / "own" / role / f"{name}.png", pixels)
    done("eval", "--methods=average", f"--images=A[b=1,c=2]={root / 'own/vis'}", "--metrics=en", *where(root))
    return root


def where(root: Path) -> tuple[str, ...]:
    return (f"--datasets=folder={root / 'own'}", f"--out={root / 'r'}")


def done(*words: object) -> Done:
    ended = fusionbench(*words)
    assert ended.returncode == 0, ended.stderr
    return ended


def test_ids_with_commas_are_drawn(results: Path, tmp_path: Path) -> None:
    words = ("figure", "compare", "--out", results / "r", "--data-root", results, "-o", tmp_path / "c.png")
    assert done(*words, '--ids="a,b",e').stderr.strip() == f'{tmp_path / "c.png"}: "a,b", e'
    ended = fusionbench(*words, "--ids=a,b")
    assert ended.returncode == 2
    assert ended.stderr.strip().endswith("""the table has no pair 'a'; there are: "a,b", "c,d", e""")
    done(*words, "--ids", done(*words, "--pick=3").stderr.partition(": ")[2].strip())  # as it was printed


def test_ids_with_commas_on_a_page(results: Path, tmp_path: Path) -> None:
    done("site", results / "r", "--out", tmp_path / "page", '--pictures="a,b"')
    ended = fusionbench("site", results / "r", "--out", tmp_path / "page", "--pictures=a,b")
    assert ended.returncode == 2
    assert 'there are: "a,b", "c,d", e' in ended.stderr
    ended = fusionbench("site", results / "r", "--out", tmp_path / "page", '--pictures="a')
    assert (ended.returncode, ended.stderr.strip()[:20]) == (2, 'error: --pictures "a')


def test_pictures_whose_name_has_options_are_named_everywhere(results: Path, tmp_path: Path) -> None:
    name = "A[b=1,c=2]"
    for typed_name in (name, f"images[{name}]"):
        shown = done("leaderboard", "--out", results / "r", "--methods", f"{typed_name},average", "--format=csv").stdout
        assert name in shown
    tex = done("leaderboard", "--out", results / "r", "--format=latex", "--rename", f"{name}=Ours (b=1)").stdout
    assert "Ours (b=1)" in tex
    table = next((results / "r/tables").glob("*.provenance.json"))
    words = ("reproduce", table, f"--datasets=folder={results / 'own'}")
    assert "2 means compared: all the same" in done(*words, f"--images={name}={results / 'own/vis'}").stdout


def test_the_hint_at_pictures_among_methods_has_the_whole_name() -> None:
    ended = fusionbench("eval", "--methods=images[A[b=1,c=2]]", "--datasets=msrs")
    assert "are given with --images A[b=1,c=2]=DIR" in ended.stderr
