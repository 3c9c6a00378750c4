"""A dataset with labels, as a user would write it in a folder of their own."""

from fusionbench.data import Dataset

__all__ = ["Dataset"]
