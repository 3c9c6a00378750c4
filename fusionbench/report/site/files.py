"""Writing a page's files: data as scripts that a browser loads from a folder, and the scripts that came with us."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.report.formats import plain
from fusionbench.report.writing import write_text
from fusionbench.results.storage_errors import storage_error
from fusionbench.runtime.files import read_regular

LIST = "data/files.txt"  # of what we wrote, so that a later page takes it away
OURS = re.compile(
    r"index\.html|(data|assets|pictures)(/[a-z0-9][a-z0-9-]*)*/[a-z0-9][a-z0-9-]*\.(js|css|svg|png|jpg|txt)"
)
MOST_BYTES = 16 << 20
ESCAPES = {"\\": "\\\\", "'": "\\'", "<": "\\x3c", ">": "\\x3e", "&": "\\x26"}


def script(name: str, data: object) -> str:
    """Data as a script that hands them to the page under a name.

    They stand in one quoted JSON text, so that no key of a file is one of the program's: ASCII alone, without what
    could end the script or the line (``<``, U+2028).
    """
    text = json.dumps(plain(data), ensure_ascii=True, sort_keys=True, allow_nan=False, separators=(",", ":"))
    quoted = "".join(ESCAPES.get(c, c) for c in text)
    return f"FB.put({json.dumps(name)},JSON.parse('{quoted}'));\n"


def assets() -> dict[str, str]:
    """The page and its scripts and styles, by path below the page's folder."""
    folder = resources.files("fusionbench.report.site") / "assets"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith((".html", ".css", ".js")):
            found[file.name if file.name == "index.html" else f"assets/{file.name}"] = file.read_text(encoding="utf-8")
    return found


def clear(folder: Path) -> None:
    """Take away what an earlier page left there, and nothing else.

    Raises:
        FusionbenchError: other files lie where a page's would, or it cannot be changed.
    """
    index = folder / "index.html"
    try:
        if not (folder / LIST).is_file():
            if folder.exists() and not folder.is_dir():
                raise FusionbenchError(f"--out {folder}: is a file; name a folder")
            if index.exists() or (folder.is_dir() and any(folder.iterdir())):
                raise FusionbenchError(f"--out {folder}: holds other files than a page of ours; name another folder")
            return
        for line in read_regular(folder / LIST, "the list of a page's files", MOST_BYTES).decode().splitlines():
            path = folder / line
            inside = not any(p.is_symlink() for p in (path, *path.parents) if p != folder and folder in p.parents)
            if OURS.fullmatch(line) and inside and path.is_file():
                path.unlink()
    except UnicodeDecodeError:
        raise FusionbenchError(f"{folder / LIST}: no text; it is not ours, name another folder") from None
    except OSError as error:
        raise storage_error(folder, error) from None


def write(folder: Path, texts: Mapping[str, str], pictures: Mapping[str, bytes]) -> int:
    """Write a page in place of an earlier one.

    Args:
        folder: of the page.
        texts: path below it to text.
        pictures: path below it to the bytes of a file.

    Returns:
        Bytes of all files.

    Raises:
        FusionbenchError: it cannot be written, or other files lie there.
    """
    clear(folder)
    every: dict[str, bytes] = {name: text.encode("utf-8") for name, text in texts.items()} | dict(pictures)
    names = sorted((*every, LIST))
    every[LIST] = "".join(f"{name}\n" for name in names).encode()
    for name in sorted(every, key=lambda n: (n == "index.html", n)):  # the page last
        write_text(folder / name, every[name])
    return sum(map(len, every.values()))
