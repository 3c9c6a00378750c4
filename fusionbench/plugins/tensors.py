"""What a checkpoint file holds: read without executing anything, and the state dict in it that fits a network."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.errors import WeightsError
from fusionbench.plugins.matlab import read_matrices

if TYPE_CHECKING:
    from torch import Tensor

SPARE = 64 << 20  # bytes that a checkpoint may unpack to beyond its own size
MAX_VALUES = 10_000_000
# Plain data that training programs keep beside the tensors. Unpickling makes an empty object of each: nothing of the
# named libraries is called or even imported.
DATA = (
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float16", "Float32", "Float64", "Int32", "Int64", "UInt8", "Bool")),
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # by which that buffer names its own functions
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
WRAPPING = ("module.", "_orig_mod.")  # DataParallel and averaged models; torch.compile
COUNTS = ("n_averaged", "steps")  # of averaged models


class Ignored:
    """Stands for an object that is not a tensor."""

    def __new__(cls, *_: object, **__: object) -> Ignored:
        """Whatever the arguments."""
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


def _stand_ins() -> list[type]:
    names = (name.rpartition(".") for name in DATA)
    return [type(name, (Ignored,), {"__module__": module, "__qualname__": name}) for module, _, name in names]


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
            raise WeightsError(f"{file}: damaged safetensors file ({first_line(error)}); get it again") from None
    import pickle
    import warnings

    import torch

    if file.suffix == ".npy":
        return _plain(_array(file), file)
    if file.suffix == ".mat":
        return _plain(read_matrices(file, file.stat().st_size + SPARE), file)
    try:
        allowed = getattr(torch.serialization, "safe_globals", nullcontext)  # since torch 2.5
        with warnings.catch_warnings(), allowed(_stand_ins()):
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
        raise WeightsError(f"{file}: damaged or no checkpoint ({first_line(error)}); get it again") from None


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
        raise WeightsError(f"{file}: damaged or no array of numbers ({first_line(error)}); get it again") from None


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


def first_line(error: Exception) -> str:
    """The first two lines of a message, joined and cut."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__


# ---------------------------------------------------------------- the state dict that is meant


def state_dicts(content: object) -> list[tuple[str, dict[str, Tensor]]]:
    """The dicts of tensors in a file, each with the key it lies under ("" for the whole): averaged weights first."""
    import torch

    def tensors(value: object) -> bool:
        return (
            isinstance(value, Mapping)
            and bool(value)
            and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())
        )

    if not isinstance(content, Mapping):
        return []
    if tensors(content):
        return [("", dict(content))]
    inner = [(str(key), dict(value)) for key, value in content.items() if tensors(value)]
    return sorted(inner, key=lambda item: not averaged(item[0]))


def averaged(key: str) -> bool:
    """Whether a key of a checkpoint names the moving average of the weights."""
    return re.search(r"(^|_)ema(_|$)", key.lower()) is not None


def spellings(state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """A state dict in float32 as it is, then without what wrappers add to its names, then without their first word."""
    import torch

    half = (torch.float16, torch.bfloat16)
    state = {name: value.float() if value.dtype in half else value for name, value in state.items()}
    yield state
    plain = {name.replace("_orig_mod.", ""): v for name, v in state.items() if name not in COUNTS}
    while plain and all(name.startswith("module.") for name in plain):
        plain = {name.removeprefix("module."): v for name, v in plain.items()}
    if plain.keys() != state.keys():
        yield plain
    first = {name.partition(".")[0] for name in plain}
    if len(first) == 1 and all("." in name for name in plain):
        yield {name.partition(".")[2]: v for name, v in plain.items()}


def fitting(
    content: object, file: Path, what: str, fit: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> tuple[dict[str, Tensor], str]:
    """The one state dict of a file that fits.

    Taken off are one wrapping dict, ``module.`` and ``_orig_mod.``, half precision, and one word that all names begin
    with; averaged weights are taken before others.

    Args:
        content: what :func:`read_tensors` gave.
        file: where from, for messages.
        what: of what it should be a checkpoint.
        fit: the tensors as they are used; raises ValueError or WeightsError where they do not fit. It is first given
            the whole, whatever lies in it.

    Returns:
        What `fit` made of it, and a remark where there was a choice, else "".

    Raises:
        WeightsError: none fits (in the words for the nearest), or several that differ.
    """
    dicts = state_dicts(content)
    found: list[tuple[str, dict[str, Tensor]]] = []
    reasons: list[tuple[int, str]] = []
    if isinstance(content, dict) and not (dicts and not dicts[0][0]):
        try:
            return fit(content), ""  # some methods' files have several networks, which they know
        except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, WeightsError) as error:
            if dicts and any(hasattr(value, "isfinite") for value in content.values()):  # parts of one checkpoint
                reasons.append((sys.maxsize, first_line(error)))
    for key, state in dicts:
        for spelling in spellings(state):
            try:
                found.append((key, fit(spelling)))
                break
            except (ValueError, RuntimeError, KeyError, WeightsError) as error:
                reasons.append((len(state), first_line(error)))
    if not found:
        why = (
            max(reasons, key=lambda reason: reason[0])[1]
            if reasons
            else ("it holds other things than tensors by name; of a training run, its weights.safetensors is meant")
        )
        raise WeightsError(f"{file}: not a checkpoint of {what}: {why}")
    (key, best), *others = found
    differing = [other for other, state in others if not _same(state, best)]
    if differing and not averaged(key):
        raise WeightsError(
            f"{file}: '{key}' and '{differing[0]}' both fit {what} and differ; save the one that is meant by itself"
        )
    return best, f"{file}: the averaged weights '{key}' are taken, not '{differing[0]}'" if differing else ""


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(bool((a[name] == b[name]).all()) for name in a)
