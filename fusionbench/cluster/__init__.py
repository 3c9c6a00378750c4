"""Work on several devices or machines: the same code in each place, a store for each part, one merge.

units.py        a part of the work as plain data, and what a worker does with it
packing.py      a worker's folder as bytes and back
engines.py      where units are done: the interface
processes.py    a process for each device of this machine
on_ray.py       a Ray cluster, spoken to from a process of its own
on_slurm.py     SLURM through submitit
trying.py       units until each has ended
gathering.py    units of an evaluation, their stores checked and merged into one
sweeping.py     runs of a sweep
"""
