"""Which files belong together: by name, by a pattern of names, or by their order."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from fusionbench.counting import counted
from fusionbench.errors import DataError
from fusionbench.pixels.names import SUFFIXES, hidden, listing, natural, nfc

ID = "{id}"
MATCHES = ("name", "order")
ROLES = ("ir", "vis", "fused")
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Pattern:
    """Names of files around an id, e.g. ``{id}_ir``, ``scene*/{id}_vis`` or ``{id}/fused``.

    Args:
        text: ``{id}`` once, and ``*`` for any text; ``/`` goes into folders; a suffix of pictures at its end is left
            away, as all of them are read.

    Raises:
        DataError: not of that form.
    """

    text: str = ID

    def __post_init__(self) -> None:
        if self.text.count(ID) != 1 or set(self.text.replace(ID, "")) & set("{}\\\0") or self.text.startswith("/"):
            raise DataError(f"pattern {self.text!r}: write {ID} once where the names have the id, e.g. {ID}_ir")
        if ".." in self.text.split("/"):
            raise DataError(f"pattern {self.text!r}: leaves the folder")

    def find(self, folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, Path]:
        """Files below a folder by id, whose name is compared in composed Unicode.

        Raises:
            DataError: two files have one id.
        """
        *above, last = self.text.split("/")
        if Path(last).suffix.lower() in suffixes:
            last = last[: -len(Path(last).suffix)]
        level: list[tuple[str, Path]] = [("", folder)]
        for part in above:
            level = [
                (found or ident, path)
                for ident, parent in level
                for path in _folders(parent)
                if (found := _inside(part, path.name)) is not None
            ]
        files: dict[str, Path] = {}
        for ident, parent in level:
            own: dict[str, Path] = {}
            for path in listing(parent, suffixes):
                if (found := _inside(last, path.stem)) is not None and (name := found or ident):
                    if name in own and own[name].stem != path.stem:
                        raise DataError(f"{path}: {name} is {own[name].name} too under the pattern {self.text}")
                    own[name] = path
            if twice := own.keys() & files.keys():
                name = min(twice)
                raise DataError(f"{own[name]}: {name} is {files[name]} too under the pattern {self.text}")
            files |= own
        return files


def _inside(part: str, name: str) -> str | None:
    """The id in a name, ``""`` where the part has none; None where it does not match."""
    quoted = re.escape(nfc(part)).replace(re.escape(ID), "(?P<id>.+)").replace(r"\*", ".*")
    match = re.fullmatch(quoted, nfc(name), re.DOTALL)
    return None if match is None else match.groupdict().get("id", "")


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not hidden(p.name))


@dataclass(frozen=True)
class Reading:
    """How files are read and paired where a dataset's card does not say it.

    Attributes:
        ir_range: levels of infrared with more than 8 bits that become 0 and 255.
        rgbt4: whether colour and thermal are the four channels of one file.
        patterns: role (``ir``, ``vis``, ``fused``) to the pattern of its names.
        match: ``order`` pairs what does not pair by name in the order of the names.

    Raises:
        DataError: values that mean nothing.
    """

    ir_range: tuple[float, float] | None = None
    rgbt4: bool = False
    patterns: tuple[tuple[str, str], ...] = ()
    match: str = "name"

    def __post_init__(self) -> None:
        if self.match not in MATCHES:
            raise DataError(f"match={self.match}: one of {', '.join(MATCHES)}")
        if unknown := [role for role, _ in self.patterns if role not in ROLES]:
            raise DataError(f"pattern={unknown[0]}=...: the roles are {', '.join(ROLES)}")
        for role, _ in self.patterns:
            self.pattern(role)
        if self.ir_range is not None:
            low, high = self.ir_range
            if not -1e12 < low < high < 1e12:
                raise DataError(f"ir_range={low:g},{high:g}: two numbers, the smaller one first")

    def pattern(self, role: str) -> Pattern | None:
        """The pattern of a role's names, if one was given."""
        text = dict(self.patterns).get(role)
        return None if text is None else Pattern(text)

    @property
    def change(self) -> str:
        """What it changes about pixels, for a protocol's token and a pair's hash; ``""`` for nothing."""
        return "" if self.ir_range is None else "ir-range={:g},{:g}".format(*self.ir_range)


def reading(
    ir_range: tuple[float, float] | None = None, pattern: Sequence[str] = (), match: str = "name", rgbt4: bool = False
) -> Reading:
    """A reading of what a user typed.

    Args:
        ir_range: as :class:`Reading` has it.
        pattern: ``ROLE=TEXT`` each.
        match: ``name`` or ``order``.
        rgbt4: as :class:`Reading` has it.

    Raises:
        DataError: values that mean nothing.
    """
    pairs = [text.partition("=") for text in pattern]
    if wrong := [role for role, equals, _ in pairs if not equals]:
        raise DataError(f"pattern={wrong[0]}: write ROLE=NAME, e.g. fused={ID}_fused; the roles are {', '.join(ROLES)}")
    return Reading(ir_range, rgbt4, tuple((role.strip(), text.strip()) for role, _, text in pairs), match)


def by_order(names: Sequence[str], files: Mapping[str, Path], what: str, where: Path | str) -> dict[str, Path]:
    """Files given to names in the order of both, where numbers are sorted as numbers.

    Args:
        names: ids, in their order.
        files: file by its own name.
        what: what the names are, for the message.
        where: the folder of the files.

    Raises:
        DataError: they are not as many.
    """
    if len(names) != len(files):
        raise DataError(
            f"{where}: {counted(len(files), 'picture')} for {len(names)} {what}; by order there must be as many"
        )
    return dict(zip(names, (files[key] for key in sorted(files, key=natural)), strict=True))


def shown(pairs: Mapping[str, Path]) -> str:
    """A pairing for the user to look at: its beginning and its end."""
    lines = [f"{name} with {path.name}" for name, path in pairs.items()]
    return ", ".join(lines if len(lines) <= _SHOWN + 1 else [*lines[:_SHOWN], "...", lines[-1]])


def partners(names: Collection[str], files: Mapping[str, Path]) -> dict[str, Path]:
    """Files under the ids of their partners: a name that differs in case alone is the partner's."""
    by_lower = {name.lower(): name for name in names if name not in files}
    return {stem if stem in names else by_lower.get(stem.lower(), stem): path for stem, path in files.items()}


# ---------------------------------------------------------------- for messages


def holds(folder: Path) -> str:
    """What a folder holds, in words."""
    try:
        pictures, folders = sorted(p.name for p in listing(folder)), [p.name for p in _folders(folder)]
        others = sorted(p.name for p in folder.iterdir() if p.is_file() and not hidden(p.name))
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if pictures:
        return f"holds {_count(pictures, 'picture')}"
    if folders:
        return f"holds no picture itself but {_count(folders, 'folder')}; name the one with the pictures"
    if others:
        return f"holds no picture but {_count(others, 'other file')}; read are {', '.join(SUFFIXES)}"
    return "is empty"


def nested(folder: Path) -> bool:
    """Whether a folder holds no picture itself but folders."""
    return not listing(folder) and bool(_folders(folder))


def _count(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({_few(names)})"


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])


def proposed(names: Collection[str], stems: Collection[str]) -> str:
    """The pattern under which most stems are names with something around them; ``""`` for none."""
    votes: Counter[str] = Counter()
    for name in list(names)[:100]:
        votes.update({stem.replace(name, ID, 1) for stem in stems if name and name in stem and name != stem})
    texts = [text for text, count in votes.items() if 2 * count >= min(len(stems), len(names), 100)]
    return max(texts, key=lambda text: (votes[text], -len(text)), default="")


def nearest(name: str, known: Collection[str]) -> str:
    """The nearest names, for the end of a message; ``""`` where none is near."""
    near = difflib.get_close_matches(name, list(known)[:5000], n=2, cutoff=0.5)
    return f"; near to {name} are {' and '.join(near)}" if near else ""


_WORDS = {
    "ir": ("ir", "infrared", "thermal", "t", "lwir", "nir", "inf", "tir", "flir"),
    "vis": ("vis", "vi", "visible", "rgb", "v", "color", "colour", "viz"),
}


def role_patterns(stems: Collection[str]) -> dict[str, str]:
    """Patterns of names that tell the roles themselves (``001_ir``, ``vis-001``); {} unless both are there."""
    found: dict[str, str] = {}
    for role, words in _WORDS.items():
        sides = rf"(?i)(?P<before>.+[-_. ])?(?P<word>{'|'.join(words)})(?P<after>[-_. ].+)?"
        votes: Counter[str] = Counter()
        for stem in stems:
            if (match := re.fullmatch(sides, stem)) and bool(match["before"]) != bool(match["after"]):
                before, after = match["before"] or "", match["after"] or ""
                text = ID + before[-1:] + match["word"] if before else match["word"] + after[:1] + ID
                votes[text] += 1
        if votes:
            found[role] = votes.most_common(1)[0][0]
    return found if len(found) == 2 else {}


def unpaired(ir: Mapping[str, Path], vis: Mapping[str, Path]) -> str:
    """What to do about pictures of which no infrared one is named like a visible one, with what is there.

    Args:
        ir: files by stem, in one folder.
        vis: the same.
    """
    if not ir or not vis:
        return ""
    there = "; ".join(
        f"{next(iter(files.values())).parent} has {_few(sorted(path.name for path in files.values()))}"
        for files in (ir, vis)
    )
    stems = {"ir": [path.stem for path in ir.values()], "vis": [path.stem for path in vis.values()]}
    texts = role_patterns([*stems["ir"], *stems["vis"]]) or {role: _around(names) for role, names in stems.items()}
    found = [{_inside(texts[role], name) for name in names} - {None} for role, names in stems.items()]
    if 2 * len(found[0] & found[1]) > min(map(len, stems.values())):
        return f"{there}; these names pair with pattern={','.join(f'{role}={text}' for role, text in texts.items())}"
    if len(ir) == len(vis):
        return f"{there}; they are as many: if they are in the same order, match=order pairs them"
    return f"{there} ({len(ir)} and {counted(len(vis), 'picture')}); rename them, or give pattern=ir=...,vis=..."


def _around(stems: Sequence[str]) -> str:
    """What all names have around their ids, which may begin and end with digits that happen to be the same."""
    if len(stems) < 2:
        return ID
    before = _common(stems).rstrip("0123456789")
    after = _common([stem[len(before) :][::-1] for stem in stems]).rstrip("0123456789")[::-1]
    return f"{before}{ID}{after}"


def _common(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    return "".join(c[0] for c in takewhile(lambda c: len(set(c)) == 1, zip(*texts, strict=False)))
