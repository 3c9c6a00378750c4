# LLVIP: 1280x1024, persons by night.
_base_ = "base.py"
resize = (512, 640)
crop = (512, 640)
train = dict(epochs=40)
