"""LLVIP (1280x1024): YOLOv8-n on 320x256, with the tenth of the training pairs that the authors list."""

_base_ = ["base.py"]
network = "yolov8-n"
split = "tdfusion-train"
task_size = (256, 320)
sizes = {"tiny": {"network": "yolov8-tiny", "split": "train", "task_size": (80, 100)}}
