# MSRS: 1,083 pairs of 640x480, nine classes.
_base_ = "base.py"
