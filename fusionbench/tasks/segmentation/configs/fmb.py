# FMB: 1,220 pairs of 800x600, 14 classes and a background. SegFormer-B0 as in TDFusion, B2 as in CLDyN.
_base_ = "base.py"
crop = (480, 640)
