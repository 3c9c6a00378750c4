"""FMB (800x600): SegFormer-B0 on 400x300."""

_base_ = ["base.py"]
network = "segformer-b0"
task_size = (300, 400)
sizes = {"tiny": {"network": "segformer-tiny", "task_size": (64, 80)}}
