"""Loss terms of the recipes: pure functions of images ``[B,1,H,W]`` to a scalar, each as its authors' code has it.

A file for each kind of term. ``tests/methods/test_losses.py`` compares every one with the value of the authors'
function on fixed tensors (``benchmarks/authors_losses.py``).
"""
