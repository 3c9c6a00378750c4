"""Default data without downloads: plausible infrared-visible street scenes with exact labels.

    from fusionbench.scenes import scene

    pair = scene(7, size=(256, 320), condition="night", preset="msrs")
    pair.ir, pair.vis, pair.classes, pair.instances, pair.saliency

The two pictures are registered to the pixel. Warm bodies, engines and lamps stand out in the infrared; texture, paint,
signs and windows are in the visible picture only, and night, fog, smoke and glare take them away there.
"""

from .classes import CLASS_ID, CLASSES, CONDITIONS, PRESETS, THINGS, Instance, Scene
from .render import scene

__all__ = ["CLASSES", "CLASS_ID", "CONDITIONS", "PRESETS", "THINGS", "Instance", "Scene", "scene"]
