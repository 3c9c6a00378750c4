"""What all TDFusion runs share: the released procedure, L = 40 epochs of M = 200 meta steps and a pass."""

network = "segformer-b0"
backbone = None
layout = "openmmlab"
trained = None
split = "train"
limit = None
variant = "released"
ablation = None
batch = 2
meta_steps = 200
crop = (256, 256)
task_size = (300, 400)
alpha = 1.0
lr = {"fusion": 1e-4, "task": 1e-4, "proposal": 1e-4, "inner": 1e-4}
decay = 0.1
decay_every = 10
derivative = "product"
checkpointing = False
restore_moments = False
train = {"epochs": 40, "seed": 0}
sizes = {
    "tiny": {
        "crop": (64, 64),
        "meta_steps": 15,
        "lr": {"fusion": 2e-3, "task": 2e-3, "proposal": 3e-3, "inner": 2e-3},
        "decay_every": 4,
        "train": {"epochs": 4},
    }
}
