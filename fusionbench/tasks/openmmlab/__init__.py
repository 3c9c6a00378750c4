"""The adapter to OpenMMLab: the only package that knows mmengine, mmcv, mmdet, mmseg or pycocotools.

    config.py       config files as plain dicts
    packages.py     mmseg and mmdet loaded without anything compiled, and kept from changing the process
    models.py       a model from its config, its normalisation, the sum of its losses
    segmentor.py    any network of mmsegmentation as a task network
    detector.py     any detector of mmdetection as a task network
    segformer.py    the SegFormer paper's decoder, registered with mmsegmentation
    yolo.py         backbone and neck of YOLOv5 and YOLOv8, registered with mmdetection
    yolov5.py, yolov8.py, retina.py, assign.py    heads, and which prediction learns which object
    yolox.py        every box of a YOLOX with every score, and which of them count
    checkpoints.py  the names in these programs' own files
    coco.py         pycocotools' evaluation

What is imported from here loads none of these libraries; the modules that define classes of theirs (all from
segmentor.py to retina.py) are imported behind :func:`load`. Modules that a user registers with mmdet or mmseg are found
as in their own programs.
"""

from fusionbench.tasks.openmmlab.config import Config, read_config, read_settings
from fusionbench.tasks.openmmlab.packages import MissingExtra, compiled, load

__all__ = ["Config", "MissingExtra", "compiled", "load", "read_config", "read_settings"]
