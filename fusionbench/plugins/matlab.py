"""Matrices in a MATLAB file of version 5 to 7, read without its objects, cells or functions.

The format is that of MathWorks' "MAT-File Format" (level 5): elements of a type, a size and bytes, one a variable.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fusionbench.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

HEADER = 128  # bytes
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMBERS, SINGLE, COMPLEX = range(6, 16), 7, 0x0800  # classes of full matrices, that of single precision, and a flag


def read_matrices(file: Path, room: int) -> dict[str, Tensor]:
    """The real, full matrices of numbers, by name; what else the file holds is passed over.

    Args:
        file: the file.
        room: bytes that it may unpack to.

    Returns:
        float32 from single precision, float64 from everything else.

    Raises:
        WeightsError: no such file, damaged, or too large when unpacked.
    """
    content = file.read_bytes()
    if content[:4] == b"\x89HDF" or content[:10] == b"MATLAB 7.3":
        raise WeightsError(f"{file}: a MATLAB file of version 7.3; save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise WeightsError(f"{file}: no MATLAB file; get it again")
    found: dict[str, Tensor] = {}
    try:
        for kind, data in _elements(content[HEADER:], order):
            if kind == COMPRESSED:
                unpacked = zlib.decompressobj().decompress(data, room + 1)
                room -= len(unpacked)
                if room < 0:
                    raise WeightsError(f"{file}: {len(content)} bytes that unpack to many more; refused")
                kind, data = next(_elements(unpacked, order))
            if kind == MATRIX:
                found |= _matrix(data, order)
    except (ValueError, IndexError, StopIteration, UnicodeDecodeError, zlib.error):
        raise WeightsError(f"{file}: damaged MATLAB file; get it again") from None
    return found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each element.

    Raises:
        ValueError: one ends behind the content.
    """
    byteorder: Literal["little", "big"] = "little" if order == "<" else "big"
    start = 0
    while start + 8 <= len(content):
        kind, size = (int.from_bytes(content[at : at + 4], byteorder) for at in (start, start + 4))
        begin, step = start + 8, size if kind == COMPRESSED else -(-size // 8) * 8
        if kind >> 16:  # four bytes or fewer stand in the tag
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, start + 4, 0
        if begin + size > len(content) or size > 4 >= begin - start:
            raise ValueError("ends too early")
        yield kind, content[begin : begin + size]
        start += 8 + step


def _matrix(content: bytes, order: str) -> dict[str, Tensor]:
    """One variable, when it is a matrix of real numbers.

    Raises:
        ValueError: its numbers are not as many as its sides say.
    """
    import numpy as np
    import torch

    parts = _elements(content, order)
    flags = int(np.frombuffer(next(parts)[1], f"{order}u4")[0])
    if flags & 0xFF not in NUMBERS or flags & COMPLEX:
        return {}
    shape = tuple(np.frombuffer(next(parts)[1], f"{order}i4").tolist())
    name = next(parts)[1].decode("ascii")
    kind, data = next(parts)
    if kind not in STORED:
        raise ValueError("numbers of no known type")
    numbers = np.frombuffer(data, order + STORED[kind])
    numbers = numbers.astype(np.float32 if flags & 0xFF == SINGLE else np.float64)
    return {name: torch.from_numpy(np.ascontiguousarray(numbers.reshape(shape, order="F")))}
