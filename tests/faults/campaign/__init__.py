"""The campaign against hostile and broken things: kills, full disks, crafted files, bad images, archives and servers.

``make campaign`` runs all of it, some minutes on two cores, and writes the figures of ``docs/reliability.md``;
``tests/faults/test_campaign.py`` runs a few cases of each kind. Each case is one command line in a process of its own,
forked from one that has everything imported.
"""
