"""The list of packages; everything else is in pyproject.toml.

methods/, metrics/ and leaderboards/ lie at the top of the repository and install below fusionbench; whoever adds a
folder there has nothing to list.
"""

from setuptools import find_packages, setup

ROOMS = ("methods", "metrics", "leaderboards")

setup(
    packages=[
        *find_packages(include=["fusionbench", "fusionbench.*"]),
        *(f"fusionbench.{'.'.join(p)}" for room in ROOMS for p in [(room,), *((room, q) for q in find_packages(room))]),
    ]
)
