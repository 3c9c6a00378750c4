"""ReFusion on any folder of pairs: medical, multi-focus, multi-exposure. Source a is its ``ir``, b its ``vis``."""

_base_ = "msrs.py"

split = "all"
