"""MSRS (640x480): SegFormer-B0 on 320x240."""

_base_ = ["base.py"]
network = "segformer-b0"
task_size = (240, 320)
sizes = {"tiny": {"network": "segformer-tiny", "task_size": (64, 80)}}
