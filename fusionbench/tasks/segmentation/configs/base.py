# What the segmentation recipes share. Full size is for one GPU; `tiny` for two cores and no pretrained backbone.
network = "segformer-b0"
channels = 3  # 1: the luma of the picture
backbone = None  # a local file; its learning rate is then worth lowering: backbone_lr = 0.1
layout = "openmmlab"
split = None  # the dataset's training split for this task
limit = None
batch = 8
resize = None  # (height, width) of what the network sees, in training and evaluation
scale = (0.5, 2.0)
crop = (480, 480)
flip = 0.5
optimiser = dict(type="AdamW", lr=6e-4, weight_decay=0.01)  # SegFormer, section 4.1: head 10 x 6e-5
backbone_lr = 1.0
schedule = dict(type="poly", power=1.0, warmup=1500)
clip = None
validate_on = None
train = dict(epochs=120, workers=4, log_every=20, save_every=1000, validate_every=10, picture_every=10)
sizes = dict(
    tiny=dict(
        batch=4,
        limit=64,
        resize=(96, 128),
        scale=None,
        crop=None,
        optimiser=dict(lr=1e-3),
        schedule=dict(warmup=16),
        train=dict(epochs=20, workers=0, log_every=1, save_every=50),
    )
)
