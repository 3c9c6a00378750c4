"""Downstream tasks: networks that read pictures, and what their predictions are worth.

task.py          Task, the base of the plugins; a task by its name or by that of one of its networks
network.py       TaskNetwork, Target, Prediction; normalisation, backbone files, second derivatives
recipe.py        one training recipe for every network
testing.py       what a network makes of a labelled picture
loading.py       trained networks, read back
drawing.py       labels and predictions over a picture
segmentation/    SegFormer, and mmsegmentation configs
detection/       YOLO, RetinaNet, DETR, and mmdetection configs
saliency/        CTDNet
scores/          mIoU, average precision and saliency scores, each convention by name
openmmlab/       the adapter to mmsegmentation, mmdetection and pycocotools
"""
