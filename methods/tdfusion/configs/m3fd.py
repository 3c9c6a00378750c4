"""M3FD (1024x768): YOLOv8-n on 256x192."""

_base_ = ["base.py"]
network = "yolov8-n"
task_size = (192, 256)
sizes = {"tiny": {"network": "yolov8-tiny", "task_size": (80, 100)}}
