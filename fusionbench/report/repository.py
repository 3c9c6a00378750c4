"""A repository of results to begin with: a place for submissions, and what checks them and rebuilds the page."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.runtime.reasons import reason

TEMPLATES = Path(__file__).parent / "scaffolds"
FILES = {  # of the repository, and the template of each
    "README.md": "README.md.txt",
    "requirements.txt": "requirements.txt.txt",
    "check.sh": "check.sh.txt",
    "build.sh": "build.sh.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/results.yml": "results.yml.txt",
    "submissions/README.md": "submissions.md.txt",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


def begin_repository(name: str, folder: Path) -> list[Path]:
    """Write the files of a new repository into ``folder / name``.

    Args:
        name: of the repository and its folder.
        folder: where that lies.

    Returns:
        The files.

    Raises:
        FusionbenchError: a name that cannot be one; a folder that is there or cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise FusionbenchError(
            f"{name!r} is no name of a repository: letters, digits, dot, - and _, e.g. fusion-results"
        )
    target = folder / name
    if os.path.lexists(target):
        raise FusionbenchError(f"{target} is there already; choose another name, or another folder with -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
            part = Path(scratch) / name
            for path, template in FILES.items():
                (part / path).parent.mkdir(parents=True, exist_ok=True)
                text = (TEMPLATES / template).read_text(encoding="utf-8").replace("REPOSITORY", name)
                (part / path).write_text(text, encoding="utf-8")
                (part / path).chmod(0o755 if path.endswith(".sh") else 0o644)
            part.rename(target)
    except OSError as error:
        raise FusionbenchError(f"{target}: {reason(target, error)}") from None
    return [target / path for path in FILES]
