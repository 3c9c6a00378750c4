# VT5000: 2,500 training pairs, mostly 640x480.
_base_ = "base.py"
