# M3FD: 1024x768 and smaller, six classes; the split lists of the dataset's card.
_base_ = "base.py"
