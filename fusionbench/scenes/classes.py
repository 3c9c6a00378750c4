"""Class names, layouts and the records that a scene is handed over in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Generic class names; a pixel of :attr:`Scene.classes` is an index into this tuple.
CLASSES: tuple[str, ...] = (
    "background",
    "road",
    "pavement",
    "sky",
    "building",
    "vegetation",
    "person",
    "car",
    "bus",
    "truck",
    "motorcycle",
    "bicycle",
    "lamp",
    "sign",
    "pole",
    "curve",
    "car_stop",
    "guardrail",
    "color_cone",
    "bump",
)
CLASS_ID: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}

#: Light and weather a scene can be drawn in.
CONDITIONS: tuple[str, ...] = ("day", "dusk", "night", "fog", "smoke", "glare")

#: Camera, object mix and classes a scene can be drawn with.
PRESETS: tuple[str, ...] = ("street", "msrs", "fmb", "m3fd", "llvip", "vt5000")

#: Classes whose objects are counted one by one (they become :class:`Instance`).
THINGS: tuple[str, ...] = (
    "person",
    "car",
    "bus",
    "truck",
    "motorcycle",
    "bicycle",
    "lamp",
    "sign",
    "car_stop",
    "guardrail",
    "color_cone",
    "bump",
)


@dataclass(frozen=True)
class Instance:
    """One object with its box.

    ``box`` is ``(x1, y1, x2, y2)`` in pixels, the tight bounds of the pixels of the object that are
    **visible** in the mask (not of the hidden ones); ``x2`` and ``y2`` are exclusive, so that
    ``classes[y1:y2, x1:x2]`` holds every visible pixel. ``visible_fraction`` in (0, 1] is the share of the
    object's pixels inside the frame that nothing nearer covers; ``area`` is the number of visible pixels;
    ``distance`` is metres along the optical axis; ``index`` is the value in the instance map the renderer keeps.
    """

    cls: str
    box: tuple[float, float, float, float]
    visible_fraction: float
    area: int
    distance: float
    index: int


@dataclass(frozen=True)
class Scene:
    """One registered infrared-visible pair with exact labels.

    ``ir`` uint8 [H, W] and ``vis`` uint8 [H, W, 3] (RGB), both 0..255 as a camera would store them;
    ``classes`` uint8 [H, W], indices into :data:`CLASSES`; ``saliency`` uint8 [H, W], 0 or 255;
    ``instances`` from far to near; ``instance_map`` uint16 [H, W], 0 where no counted object is and otherwise
    the ``index`` of an object (objects too small or too hidden for a box keep their number here).
    """

    ir: np.ndarray
    vis: np.ndarray
    classes: np.ndarray
    saliency: np.ndarray
    instance_map: np.ndarray
    condition: str
    preset: str
    seed: int
    instances: list[Instance] = field(default_factory=list)
