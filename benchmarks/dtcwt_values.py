"""What the package ``dtcwt`` computes, kept for a test of ours: subbands of two images, and images of some subbands.

    python3 -m venv build/dtcwt && build/dtcwt/bin/pip install "numpy<1.26" dtcwt==0.14.0
    build/dtcwt/bin/python benchmarks/dtcwt_values.py          # compare with what is kept
    build/dtcwt/bin/python benchmarks/dtcwt_values.py --write  # keep it anew

The package does not run with the numpy of today and is no dependency. ``tests/methods/test_transforms.py`` reads
``tests/methods/authors/dtcwt.npz``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dtcwt
import numpy as np

KEPT = Path(__file__).resolve().parent.parent / "tests/methods/authors/dtcwt.npz"
CASES = {"even": (24, 36, 3), "odd": (21, 30, 2)}


def image(height: int, width: int) -> np.ndarray:
    """Waves under a chequered pattern, in [0,1]."""
    y, x = np.mgrid[:height, :width]
    return 0.3 + 0.2 * np.sin(x / 3) * np.cos(y / 4) + 0.4 * ((x // 5 + y // 4) % 2)


def values() -> dict[str, np.ndarray]:
    """Arrays by name: of each case the image, its approximation and bands, and the image of each second band."""
    held = {}
    transform = dtcwt.Transform2d(biort="legall", qshift="qshift_06")
    for name, (height, width, levels) in CASES.items():
        x = image(height, width)
        parts = transform.forward(x, nlevels=levels)
        held |= {f"{name}_image": x, f"{name}_low": parts.lowpass}
        held |= {f"{name}_band{level}": band for level, band in enumerate(parts.highpasses)}
        some = tuple(band * (np.arange(6) % 2) for band in parts.highpasses)
        held[f"{name}_some"] = transform.inverse(dtcwt.Pyramid(parts.lowpass, some))
    return held


def main() -> None:
    found = values()
    if "--write" in sys.argv[1:]:
        np.savez_compressed(KEPT, **found)
        return
    kept = np.load(KEPT)
    assert set(kept) == set(found)
    print(f"{len(found)} arrays, largest difference {max(abs(kept[name] - found[name]).max() for name in found):.1e}")


if __name__ == "__main__":
    main()
