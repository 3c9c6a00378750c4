"""Checkpoints: added once from a released file, kept as safetensors in the user's cache, verified before use."""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fusionbench.errors import WeightsError
from fusionbench.plugins.cards import MethodCard, card
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.released import released
from fusionbench.runtime import locations
from fusionbench.runtime.files import sha256 as sha256
from fusionbench.runtime.files import sweep

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.plugins.method import Method

SPARE = 64 << 20  # bytes that a checkpoint may unpack to beyond its own size
MAX_VALUES = 10_000_000
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
    if not entry.facts.requires_weights and not entry.facts.weights:
        raise WeightsError(f"{method} takes no weights")
    checkpoint = released(entry, [file] if isinstance(file, Path) else file)
    known, digest, file = checkpoint.listed, checkpoint.sha256, checkpoint.files[0]
    if name is None:
        name = known.name if known else file.stem.lower()
    check_name(entry, name, digest, file, replace)
    network = resolve("method", method)()
    if checkpoint.names:
        state = {part: read_tensors(f) for part, f in zip(checkpoint.names, checkpoint.files, strict=True)}
    else:
        state = read_tensors(file)
    try:
        state = network.convert(state)
    except Exception as error:  # the plugin's code, on whatever the file holds
        raise WeightsError(f"{file}: not a checkpoint of {method}: {_first_line(error)}") from None
    if not isinstance(state, dict) or not all(hasattr(value, "isfinite") for value in state.values()):
        raise WeightsError(
            f"{file}: not a checkpoint of {method}: it holds other things than tensors by name; of a training run, "
            "its weights.safetensors is meant"
        )
    if bad := next((name for name, tensor in state.items() if not bool(tensor.isfinite().all())), None):
        raise WeightsError(f"{file}: {bad} holds numbers that are infinite or none (NaN); the training has failed")
    weights = Weights(
        method=method,
        name=name,
        sha256=digest,
        stored_sha256="",
        trained_on=trained_on or (known.trained_on if known else "not stated"),
        listed=known is not None,
        path=locations.current().cache / "weights" / method / f"{name}.safetensors",
    )
    return _store(weights, network, state, file)


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
        why = getattr(error, "strerror", None) or _first_line(error)
        raise WeightsError(f"{folder}: cannot be written ({why}); set FUSIONBENCH_CACHE") from None
    except (RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{file}: not a checkpoint of {weights.method}: {_first_line(error)}") from None
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


def read_tensors(file: Path) -> Any:
    """What a checkpoint holds, tensors nested as its author liked, without executing anything in it.

    Raises:
        WeightsError: damaged, no checkpoint, or pickled code in it.
    """
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return _plain(load_file(file), file)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file}: damaged safetensors file ({_first_line(error)}); get it again") from None
    import pickle
    import warnings

    import torch

    if file.suffix == ".npy":
        return _plain(_array(file), file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a remark on the pickle protocol says nothing to the user
            _check_unpacked(file)
            return _plain(torch.load(file, map_location="cpu", weights_only=True), file)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "GLOBAL " in str(error):
            raise WeightsError(
                f"{file}: refused, it holds pickled code and not only tensors; nothing was executed; "
                "ask its author for a plain state dict"
            ) from None
        raise WeightsError(f"{file}: damaged or no checkpoint; get it again") from None
    except Exception as error:
        # torch.load reports damage through many types (RuntimeError, EOFError, KeyError, ...).
        raise WeightsError(f"{file}: damaged or no checkpoint ({_first_line(error)}); get it again") from None


def _array(file: Path) -> Tensor:
    """The one array of a NumPy file, as some look-up tables are released.

    Raises:
        WeightsError: damaged, no such file, or Python objects in it.
    """
    import numpy as np
    import torch

    try:
        return torch.from_numpy(np.array(np.load(file, mmap_mode="r", allow_pickle=False)))
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise WeightsError(f"{file}: damaged or no array of numbers ({_first_line(error)}); get it again") from None


def _check_unpacked(file: Path) -> None:
    """Refuse a zip archive that is much smaller than its content; torch writes its archives uncompressed."""
    size = file.stat().st_size
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        if sum(info.file_size for info in archive.infolist()) > size + SPARE:
            raise WeightsError(f"{file}: {size} bytes that unpack to many more; refused")


def _plain(state: Any, file: Path) -> Any:
    """What a file holds, when each tensor in it is dense, real, and has its own numbers in the file.

    Raises:
        WeightsError: a tensor that is sparse, complex, quantised or repeats a few numbers: it may become many times as
            large as the file when it is used.
    """
    import torch

    room = 4 * file.stat().st_size + SPARE  # some tensors are there twice, or become float32 from float16
    waiting, seen = [state], 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list | tuple | set):
            seen += len(value)
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, torch.Tensor):
            if value.layout is not torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
                kind = "complex" if value.is_complex() else "sparse, quantised or empty"
                raise WeightsError(
                    f"{file}: holds {kind} tensors; ask its author for a plain state dict of real numbers"
                )
            size = value.numel() * value.element_size()
            room -= size
            if size > value.untyped_storage().nbytes() or room < 0:
                raise WeightsError(f"{file}: its tensors are far larger than the file; refused")
        if seen > MAX_VALUES:
            raise WeightsError(f"{file}: more than {MAX_VALUES} values, or some that hold themselves; refused")
    return state


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__


def hint(entry: MethodCard) -> str:
    """The command that would make a learned method runnable."""
    listed = next((w for w in entry.facts.weights if w.url), None)
    if listed is None:
        return f"fusionbench weights add {entry.name} FILE"
    files = " ".join(p.file for p in listed.parts) or listed.file
    return f"fusionbench weights add {entry.name} {files}  (from {listed.url})"
