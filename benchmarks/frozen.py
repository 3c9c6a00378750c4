"""Freeze the committed tables of a year: an index of their hashes and of the commit that holds them.

    python benchmarks/frozen.py 2026            # writes leaderboards/2026/index.txt, for the tables of the last commit
    python benchmarks/frozen.py 2026 --check    # exit 1 where the commit has other files than the index says

Nothing is copied: the files stay in the history of the repository. Behind the first lines the index is what
``sha256sum`` writes, so ``git checkout COMMIT && sha256sum -c leaderboards/2026/index.txt`` verifies it without us.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
ROOM = "leaderboards"
KINDS = (".csv", ".json", ".md", ".tex", ".toml")


class FrozenError(Exception):
    """What a person has to mend, in one line."""


def git(repo: Path, *words: str) -> bytes:
    """What git prints.

    Raises:
        FrozenError: git refuses, with the last line of what it says.
    """
    done = subprocess.run(["git", *words], cwd=repo, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise FrozenError(f"git {words[0]}: {said[-1] if said else 'failed'}")
    return done.stdout


def tables(repo: Path, commit: str) -> dict[str, str]:
    """Path to SHA-256 of every committed table's file; earlier years' indexes are none."""
    held = {}
    with tarfile.open(fileobj=io.BytesIO(git(repo, "archive", "--format=tar", commit, ROOM))) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file and Path(member.name).suffix in KINDS and not Path(member.name).parts[1].isdigit():
                held[member.name] = hashlib.sha256(file.read()).hexdigest()
    return dict(sorted(held.items()))


def freeze(repo: Path, year: str) -> Path:
    """Write the index of a year, for the last commit.

    Raises:
        FrozenError: tables were changed and not committed.
    """
    if changed := git(repo, "status", "--porcelain", "--", ROOM, f":!{ROOM}/{year}").decode().splitlines():
        raise FrozenError(f"{changed[0][3:]}: not committed; commit the tables first, then freeze them")
    commit = git(repo, "rev-parse", "HEAD").decode().strip()
    path = repo / ROOM / year / "index.txt"
    path.parent.mkdir(exist_ok=True)
    head = [
        f"# The tables of {year}, frozen. Checked by: python benchmarks/frozen.py {year} --check",
        f"# commit {commit}",
    ]
    path.write_text("\n".join([*head, *(f"{sha}  {name}" for name, sha in tables(repo, commit).items()), ""]))
    return path


def read(path: Path) -> tuple[str, dict[str, str]]:
    """Commit and hashes that an index names.

    Raises:
        FrozenError: the file is no index.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    commits = [line.split()[2] for line in lines if line.startswith("# commit ") and len(line.split()) == 3]
    pairs = [line.split("  ", 1) for line in lines if line and not line.startswith("#")]
    whole = len(commits) == 1 and re.fullmatch("[0-9a-f]{40,64}", commits[0])  # git would take --output=FILE as well
    if not whole or not pairs or any(len(pair) != 2 or len(pair[0]) != 64 for pair in pairs):
        raise FrozenError(f"{path}: no index; python benchmarks/frozen.py {path.parent.name} writes one")
    return commits[0], {name: sha for sha, name in pairs}


def check(repo: Path, path: Path) -> list[str]:
    """What the index and its commit do not agree on, a line each.

    Raises:
        FrozenError: the file is no index, or the commit is not in this copy of the repository.
    """
    commit, claimed = read(path)
    held = tables(repo, commit)
    wrong = [name for name in sorted(claimed.keys() | held.keys()) if claimed.get(name) != held.get(name)]
    missing = dict.fromkeys(held.keys() - claimed.keys(), "not in the index")
    missing |= dict.fromkeys(claimed.keys() - held.keys(), "not in the commit")
    return [f"{name}: {missing.get(name, 'another file')}" for name in wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("year", type=int)
    parser.add_argument("--check", action="store_true", help="compare, write nothing, exit 1 where it does not agree")
    options = parser.parse_args()
    try:
        if not options.check:
            print(f"wrote {freeze(REPO, str(options.year)).relative_to(REPO)}")
            return 0
        lines = check(REPO, REPO / ROOM / str(options.year) / "index.txt")
    except (FrozenError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines) or f"{ROOM}/{options.year}: as it was frozen")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
