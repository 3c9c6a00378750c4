# What the detection recipes share. Full size is for one GPU; `tiny` for two cores and no pretrained backbone.
network = "yolov8-n"
channels = 3  # 1: the luma of the picture
backbone = None  # a local file; its learning rate is then worth lowering: backbone_lr = 0.1
layout = "openmmlab"
split = None  # the dataset's training split for this task
limit = None
batch = 16
resize = (480, 640)  # (height, width) of what the network sees, in training and evaluation
scale = (0.6, 1.6)
crop = (480, 640)
flip = 0.5
optimiser = dict(type="SGD", lr=0.01, momentum=0.937, weight_decay=5e-4, nesterov=True)
backbone_lr = 1.0
schedule = dict(type="cosine", warmup=300, last=0.01)
clip = 10.0
validate_on = None
train = dict(epochs=200, workers=4, log_every=20, save_every=1000, validate_every=10, picture_every=10)
sizes = dict(
    tiny=dict(
        batch=4,
        limit=96,
        resize=(128, 160),
        scale=None,
        crop=None,
        optimiser=dict(_delete_=True, type="AdamW", lr=1e-3, weight_decay=0.01),
        schedule=dict(warmup=24),
        train=dict(epochs=30, workers=0, log_every=1, save_every=50),
    )
)
# Transformers and pretrained ResNets want another optimiser than the YOLO family.
networks = {
    "detr-r50": dict(
        optimiser=dict(_delete_=True, type="AdamW", lr=1e-4, weight_decay=1e-4),
        backbone_lr=0.1,
        clip=0.1,
        schedule=dict(_delete_=True, type="step", at=(0.67,), gamma=0.1, warmup=300),
    ),
    "retinanet-r18": dict(optimiser=dict(weight_decay=1e-4, momentum=0.9)),
}
