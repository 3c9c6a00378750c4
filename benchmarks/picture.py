"""Draws docs/fused.jpg: two generated scenes as the sources and two methods show them.

python benchmarks/picture.py            # needs ReFusion's released weights: fusionbench weights add refusion FILE
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import fusionbench
from fusionbench.scenes import scene

SIZE = (240, 320)
SCENES = ((24, "night"), (21, "smoke"))
METHODS = ("laplacian", "refusion[ivif]")
BAR = 20


def main() -> None:
    height, width = SIZE
    sheet = Image.new("RGB", ((2 + len(METHODS)) * width, len(SCENES) * (height + BAR)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (seed, condition) in enumerate(SCENES):
        pair = scene(seed, SIZE, condition, "msrs")
        shown = [(f"infrared, {condition}", pair.ir), (f"visible, {condition}", pair.vis)]
        shown += [(name, fusionbench.fuse(name, pair.ir, pair.vis)) for name in METHODS]
        for column, (name, picture) in enumerate(shown):
            x, y = column * width, row * (height + BAR)
            sheet.paste(Image.fromarray(np.asarray(picture)).convert("RGB"), (x, y + BAR))
            draw.text((x + 4, y + 4), name, fill="black")
    sheet.save(Path(__file__).parents[1] / "docs" / "fused.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
