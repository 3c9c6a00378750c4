# CTDNet-18 as its authors train it; `tiny` for two cores and no pretrained backbone.
network = "ctdnet-18"
channels = 3
backbone = None  # a local ResNet-18; random weights want backbone_lr = 1
layout = "torchvision"
split = None  # the dataset's training split for this task
limit = None
batch = 32
resize = (352, 352)  # (height, width) of what the network sees, in training and evaluation
scale = (0.75, 1.25)
crop = (256, 256)
flip = 0.5
optimiser = dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
backbone_lr = 0.1
schedule = dict(type="triangular", peak=0.5, warmup=0)
clip = None
validate_on = None
train = dict(epochs=40, workers=4, log_every=20, save_every=1000, validate_every=10, picture_every=10)
sizes = dict(
    tiny=dict(
        batch=4,
        limit=64,
        resize=(96, 128),
        scale=None,
        crop=None,
        optimiser=dict(_delete_=True, type="AdamW", lr=1e-3, weight_decay=0.01),
        backbone_lr=1.0,
        train=dict(epochs=12, workers=0, log_every=1, save_every=50),
    )
)
