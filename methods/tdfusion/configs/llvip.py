"""LLVIP (1280x1024): YOLOv8-n on 320x256, with the tenth of the training pairs that the authors list."""

_base_ = ["base.py"]
network = "yolov8-n"
split = "tdfusion-train"
task_size = (256, 320)
sizes = {
    "tiny": {
        "network": "yolov8-tiny",
        "split": "train",
        "crop": (64, 64),
        "task_size": (80, 100),
        "meta_steps": 15,
        "lr": {"fusion": 2e-3, "task": 2e-3, "proposal": 3e-3, "inner": 2e-3},
        "decay_every": 4,
        "train": {"epochs": 4},
    }
}
