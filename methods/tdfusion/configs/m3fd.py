"""M3FD (1024x768): YOLOv8-n on 256x192."""

_base_ = ["base.py"]
network = "yolov8-n"
task_size = (192, 256)
sizes = {
    "tiny": {
        "network": "yolov8-tiny",
        "crop": (64, 64),
        "task_size": (80, 100),
        "meta_steps": 15,
        "lr": {"fusion": 2e-3, "task": 2e-3, "proposal": 3e-3, "inner": 2e-3},
        "decay_every": 4,
        "train": {"epochs": 4},
    }
}
