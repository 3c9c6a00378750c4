"""What goes wrong with pairs in the field: methods get the corrupted pair, scores look at the good one.

A corruption is written as its kind and level, ``shift4`` or ``lowlight0.25``. Everything that is random is drawn anew
for each kind and image id, so that a level more of the same corruption is the same pattern, stronger.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fusionbench.errors import FusionbenchError, find

Pair = tuple[np.ndarray, np.ndarray]  # infrared uint8 [1,H,W], visible uint8 [3,H,W]
Draw = np.random.Generator
VERSION = 1  # goes up when the same words give other pixels
AIRLIGHT = 220.0  # level of fog
SENSOR = 2.0  # levels of noise in a dark picture


def _levels(x: np.ndarray) -> np.ndarray:
    levels: np.ndarray = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    return levels


def shift(ir: np.ndarray, vis: np.ndarray, level: float, draw: Draw) -> Pair:
    """Infrared ``level`` pixels off, in one of eight directions; its edge is repeated."""
    down, right = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))[int(draw.integers(8))]
    rows, columns = (
        np.clip(np.arange(size) - step * int(level), 0, size - 1)
        for size, step in zip(ir.shape[1:], (down, right), strict=True)
    )
    return np.ascontiguousarray(ir[:, rows][:, :, columns]), vis


def noise(ir: np.ndarray, vis: np.ndarray, level: float, draw: Draw) -> Pair:
    """Normal noise of ``level`` levels in both, each channel by itself."""
    first, second = (_levels(x + level * draw.standard_normal(x.shape)) for x in (ir, vis))
    return first, second


def blur(ir: np.ndarray, vis: np.ndarray, level: float, draw: Draw) -> Pair:
    """Gaussian of sigma ``level`` pixels over both."""
    from scipy import ndimage  # a second to import, for this alone

    first, second = (_levels(ndimage.gaussian_filter(x.astype(float), (0, level, level))) for x in (ir, vis))
    return first, second


def lowlight(ir: np.ndarray, vis: np.ndarray, level: float, draw: Draw) -> Pair:
    """The share ``level`` of the visible levels is left, with the noise of a sensor."""
    return ir, _levels(level * vis + SENSOR * draw.standard_normal(vis.shape))


def fog(ir: np.ndarray, vis: np.ndarray, level: float, draw: Draw) -> Pair:
    """An even veil, through which the share ``level`` of the visible light comes."""
    return ir, _levels(level * vis + (1 - level) * AIRLIGHT)


def _without(x: np.ndarray, level: float, draw: Draw) -> np.ndarray:
    """A rectangle of that share of the picture black."""
    high, wide = (round(size * float(np.sqrt(level))) for size in x.shape[1:])
    top, left = (int(draw.random() * (size - side + 1)) for size, side in zip(x.shape[1:], (high, wide), strict=True))
    x = x.copy()
    x[:, top : top + high, left : left + wide] = 0
    return x


def drop_ir(ir: np.ndarray, vis: np.ndarray, level: float, draw: Draw) -> Pair:
    """A rectangle of the share ``level`` of the infrared picture black; 1: all of it."""
    return _without(ir, level, draw), vis


def drop_vis(ir: np.ndarray, vis: np.ndarray, level: float, draw: Draw) -> Pair:
    """Likewise of the visible picture."""
    return ir, _without(vis, level, draw)


@dataclass(frozen=True)
class Kind:
    """A kind of corruption.

    Attributes:
        apply: of infrared, visible, level, random numbers.
        levels: that are used where none is asked for, weakest first.
        low, high: bounds of the level.
        whole: whether it is a whole number.
        what: its level in words, for captions.
    """

    apply: Callable[[np.ndarray, np.ndarray, float, Draw], Pair]
    levels: tuple[float, ...]
    low: float
    high: float
    what: str
    whole: bool = False


KINDS = {
    "shift": Kind(shift, (2, 4, 8), 1, 256, "infrared {} pixels off", whole=True),
    "noise": Kind(noise, (5, 15, 30), 0.1, 100, "noise of {} levels in both"),
    "blur": Kind(blur, (1, 2, 4), 0.1, 32, "both blurred by sigma {} pixels"),
    "lowlight": Kind(lowlight, (0.5, 0.25, 0.1), 0.01, 0.99, "{} of the visible light left"),
    "fog": Kind(fog, (0.7, 0.45, 0.25), 0.01, 0.99, "fog that lets {} of the visible light through"),
    "drop-ir": Kind(drop_ir, (0.25, 0.5, 1), 0.01, 1, "{} of the infrared picture black"),
    "drop-vis": Kind(drop_vis, (0.25, 0.5, 1), 0.01, 1, "{} of the visible picture black"),
}


@dataclass(frozen=True)
class Corruption:
    """One kind at one level.

    Attributes:
        kind: of :data:`KINDS`.
        level: its strength, in the kind's own measure.
    """

    kind: str
    level: float

    def __str__(self) -> str:
        return f"{self.kind}{self.level:g}"

    @property
    def text(self) -> str:
        """In words."""
        return (
            KINDS[self.kind]
            .what.format(f"{self.level:g}")
            .replace(" 1 pixels", " 1 pixel")
            .replace(" 1 levels", " 1 level")
        )

    def apply(self, ir: np.ndarray, vis: np.ndarray, ident: str) -> Pair:
        """The pair that methods get.

        Args:
            ir: uint8 ``[1,H,W]``.
            vis: uint8 ``[3,H,W]``.
            ident: of the image; the same one has the same pattern at every level.

        Returns:
            Both, of the same types and shapes.
        """
        seed = hashlib.sha256(f"{self.kind} {ident}".encode()).digest()
        draw = np.random.Generator(np.random.PCG64(int.from_bytes(seed[:16], "big")))
        return KINDS[self.kind].apply(ir, vis, self.level, draw)


_WRITTEN = re.compile(r"(?P<kind>[a-z-]*[a-z])(?P<level>[0-9][0-9.]*)")


def corruption(text: str) -> Corruption:
    """The corruption that is written as ``shift4``.

    Raises:
        FusionbenchError: no such kind, or its level is out of bounds.
    """
    written = _WRITTEN.fullmatch(text)
    if not written:
        raise FusionbenchError(f"{text!r} is no corruption; write a kind and its level, such as shift4")
    return _checked(written["kind"], written["level"])


def corruptions(text: str) -> list[Corruption]:
    """Those that a user asks for: ``shift=1,2,4``, or ``noise`` for its usual levels.

    Raises:
        FusionbenchError: no such kind, or a level is out of bounds.
    """
    name, equals, levels = text.partition("=")
    name = find(name.strip(), KINDS, "no corruption")
    if not equals:
        return [Corruption(name, level) for level in KINDS[name].levels]
    return list(dict.fromkeys(_checked(name, level.strip()) for level in levels.split(",")))


def _checked(name: str, text: str) -> Corruption:
    name = find(name, KINDS, "no corruption")
    kind = KINDS[name]
    try:
        level = float(text)
    except ValueError:
        level = float("nan")
    if not kind.low <= level <= kind.high or (kind.whole and level != int(level)):
        number = "a whole number" if kind.whole else "a number"
        raise FusionbenchError(f"{name}: level {text!r} is not {number} from {kind.low:g} to {kind.high:g}")
    if float(f"{level:g}") != level:
        raise FusionbenchError(f"{name}: level {text!r} has more than six digits")
    return Corruption(name, level)
