"""Checkpoints: added once from a released file, kept as safetensors in the user's cache, verified before use."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fusionbench.errors import WeightsError
from fusionbench.plugins.cards import MethodCard, card
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.released import released
from fusionbench.plugins.tensors import first_line, fitting
from fusionbench.plugins.tensors import read_tensors as read_tensors
from fusionbench.runtime import locations
from fusionbench.runtime.files import sha256 as sha256
from fusionbench.runtime.files import sweep
from fusionbench.runtime.reasons import reason

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.plugins.method import Method

NAME = re.compile(r"[A-Za-z0-9._-]+")
_warned: set[Path] = set()


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One installed checkpoint.

    Attributes:
        method: the method it belongs to.
        name: short name used in entry ids (``refusion[ivif]``).
        sha256: hash of the file as its author released it; part of every result.
        stored_sha256: hash of the safetensors file it was converted to.
        trained_on: what the card or the user says of its training data.
        listed: whether the card lists this very file.
        path: the safetensors file.
    """

    method: str
    name: str
    sha256: str
    stored_sha256: str
    trained_on: str
    listed: bool
    path: Path


def installed(method: str, warn: bool = True) -> list[Weights]:
    """Checkpoints of a method that are ready to use, by name: those in the cache and those that came with it.

    A damaged record is named once on stderr and left out.

    Raises:
        WeightsError: when the cache folder is a file.
    """
    added, bad = _records(method)
    for record, why in bad.items():
        if warn and record not in _warned:
            _warned.add(record)
            print(f"warning: {record}: {why}", file=sys.stderr)
    names = {w.name for w in added}
    return sorted([*added, *(w for w in packaged(method) if w.name not in names)], key=lambda w: w.name)


def packaged(method: str) -> list[Weights]:
    """Checkpoints that come with the plugin: those that its card lists as files beside it."""
    entry = card("method", method)
    return [
        Weights(
            method=method,
            name=w.name,
            sha256=w.sha256,
            stored_sha256=w.sha256,
            trained_on=w.trained_on,
            listed=True,
            path=entry.path.parent / w.packaged,
        )
        for w in entry.facts.weights
        if w.packaged
    ]


def broken(method: str) -> dict[Path, str]:
    """Damaged records of a method, each with what is wrong and what to do."""
    return _records(method)[1]


def _records(method: str) -> tuple[list[Weights], dict[Path, str]]:
    folder = locations.current().cache / "weights" / method
    for above in (folder, *folder.parents):
        if above.is_file():
            raise WeightsError(f"{above}: a file, not a folder; move it away or set FUSIONBENCH_CACHE")
    good: list[Weights] = []
    bad: dict[Path, str] = {}
    for record in sorted(folder.glob("*.json")):
        try:
            facts = json.loads(record.read_text(encoding="utf-8"))
            facts = {**facts, "path": str(record.with_suffix(".safetensors"))}
            weights = msgspec.convert(facts, Weights, dec_hook=lambda _, text: Path(text))
            if (weights.method, weights.name) != (method, record.stem):
                raise ValueError
            good.append(weights)
        except (OSError, ValueError, TypeError):
            bad[record] = f"damaged record of weights; delete it and add the checkpoint of {method} again"
    return good, bad


def verify(weights: Weights) -> Path:
    """The file, after checking that it is what was added.

    Raises:
        WeightsError: when it is gone or has changed.
    """
    if not weights.path.is_file() or sha256(weights.path) != weights.stored_sha256:
        state = "has changed since it was added" if weights.path.is_file() else "is gone"
        raise WeightsError(f"{weights.path}: {state}; add it again: fusionbench weights add {weights.method} FILE")
    return weights.path


def add(
    method: str,
    file: Path | Sequence[Path],
    name: str | None = None,
    trained_on: str | None = None,
    replace: bool = False,
) -> Weights:
    """Convert a checkpoint and keep it.

    The file is read with ``weights_only=True``: nothing in it is ever executed. It is kept only after the network
    has loaded it strictly.

    Args:
        method: name of a learned method.
        file: the checkpoint as released (``.pth``, ``.pt``, ``.safetensors``...), or its files where there are several.
        name: short name; by default the card's name for this file, else the file's stem in lower case.
        trained_on: what it was trained on, for files the card does not list.
        replace: in the place of another file of that name that the card does not list (a run that was made again).

    Raises:
        WeightsError: unreadable, pickled code, not this network's tensors, or a name that is taken.
    """
    entry = card("method", method)
    method = entry.name
    if not entry.facts.requires_weights and not entry.facts.weights:
        raise WeightsError(f"{method} takes no weights")
    checkpoint = released(entry, [file] if isinstance(file, Path) else file)
    known, digest, file = checkpoint.listed, checkpoint.sha256, checkpoint.files[0]
    if name is None:
        name = known.name if known else file.stem.lower()
    check_name(entry, name, digest, file, replace)
    network: Method = resolve("method", method)()
    weights = Weights(
        method=method,
        name=name,
        sha256=digest,
        stored_sha256="",
        trained_on=trained_on or (known.trained_on if known else "not stated"),
        listed=known is not None,
        path=locations.current().cache / "weights" / method / f"{name}.safetensors",
    )
    if checkpoint.names:
        held = {part: read_tensors(f) for part, f in zip(checkpoint.names, checkpoint.files, strict=True)}
    else:
        held = read_tensors(file)
    state, remark = fitting(held, file, method, lambda tensors: _converted(network, tensors))
    if bad := next((name for name, tensor in state.items() if not bool(tensor.isfinite().all())), None):
        raise WeightsError(f"{file}: {bad} holds numbers that are infinite or none (NaN); the training has failed")
    if remark:
        print(f"note: {remark}", file=sys.stderr)
    return _store(weights, network, state, file)


def _converted(network: Method, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as the method reads them, once it has.

    Raises:
        ValueError: they are no checkpoint of it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        converted = network.convert(state)
    except Exception as error:  # the plugin's code, on whatever the file holds
        raise ValueError(first_line(error)) from None
    if not isinstance(converted, dict) or not all(hasattr(value, "isfinite") for value in converted.values()):
        raise ValueError("it holds other things than tensors by name")
    with tempfile.TemporaryDirectory() as scratch, suppress(OSError, SafetensorError):  # told when they are kept
        save_file({k: v.contiguous() for k, v in converted.items()}, part := Path(scratch) / "w.safetensors")
        network.load(part)
    return converted


def check_names(method: str, state: dict[str, Tensor]) -> None:
    """Refuse tensors that a method could not load, for their names or shapes.

    Args:
        method: name of a learned method.
        state: tensors by name, as a recipe exports them.

    Raises:
        WeightsError: it could not.
    """
    network: Method = resolve("method", method)()
    try:
        _converted(network, {name: tensor.detach().cpu() for name, tensor in state.items()})
    except (RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{method}: the method cannot load what its recipe exports: {first_line(error)}") from None


def _store(weights: Weights, network: Method, state: dict[str, Tensor], file: Path) -> Weights:
    """Write tensors and record, once the network has loaded what was written; the weights with the hash of that."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder = weights.path.parent
    sweep(folder)
    part = folder / f".{weights.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in state.items()}, part)
        network.load(part)
        weights = msgspec.structs.replace(weights, stored_sha256=sha256(part))
        record = {k: v for k, v in msgspec.structs.asdict(weights).items() if k != "path"}
        os.replace(part, weights.path)
        part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(part, folder / f"{weights.name}.json")
    except (OSError, SafetensorError) as error:
        why = reason(folder / weights.name, error) if isinstance(error, OSError) else first_line(error)
        raise WeightsError(f"{folder}: cannot be written ({why}); set FUSIONBENCH_CACHE") from None
    except (RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{file}: not a checkpoint of {weights.method}: {first_line(error)}") from None
    finally:
        with suppress(OSError):  # its folder may be a file
            part.unlink(missing_ok=True)
    return weights


def check_name(entry: MethodCard, name: str, digest: str, file: Path, replace: bool = False) -> None:
    """Refuse a name for a checkpoint that cannot be typed or is another file's.

    Args:
        entry: the method's card.
        name: the short name.
        digest: SHA-256 of the file.
        file: the file, for the message.
        replace: whether it may take the place of another file that the card does not list.

    Raises:
        WeightsError: it is refused.
    """
    if not NAME.fullmatch(name):
        raise WeightsError(f"{file}: name {name!r}: give one of letters, digits, dot, - and _ with name=")
    if any(w.name == name and w.sha256 != digest for w in entry.facts.weights):
        raise WeightsError(f"{file}: {name!r} is the card's name of another file; give this one another with name=")
    if not replace and any(w.name == name and w.sha256 != digest for w in installed(entry.name)):
        raise WeightsError(
            f"{file}: {entry.name}[{name}] is another file; "
            f"remove it first: fusionbench weights remove {entry.name} {name}, or choose another name="
        )


def hint(entry: MethodCard) -> str:
    """The command that would make a learned method runnable."""
    listed = next((w for w in entry.facts.weights if w.url), None)
    if listed is None:
        return f"fusionbench weights add {entry.name} FILE"
    files = " ".join(p.file for p in listed.parts) or listed.file
    return f"fusionbench weights add {entry.name} {files}  (from {listed.url})"
