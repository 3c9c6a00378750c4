"""What predictions are worth, each convention by name.

miou.py                 one confusion matrix, and the means in print
average_precision.py    boxes: COCO's and PASCAL VOC's protocols
saliency.py             F, weighted F, E, S and MAE
"""
