"""FMB (800x600): SegFormer-B0 on 400x300."""

_base_ = ["base.py"]
network = "segformer-b0"
task_size = (300, 400)
sizes = {
    "tiny": {
        "network": "segformer-tiny",
        "crop": (64, 64),
        "task_size": (64, 80),
        "meta_steps": 15,
        "lr": {"fusion": 2e-3, "task": 2e-3, "proposal": 3e-3, "inner": 2e-3},
        "decay_every": 4,
        "train": {"epochs": 4},
    }
}
