"""What is run and scored.

protocol.py     what a number means, in one token
entries.py      what one row of a table is
keys.py         what a stored number depends on
plan.py         entries x datasets x metrics, decided before any work
runner.py       fuse once, score many, keep what is finished
source_pairs.py source pairs as methods get them, kept while there is room
parallel.py     several items at once, with results in order
outcome.py      what a run did
fusing.py       one pair through a method and its output rule
scoring.py      metrics on saved pictures
contract.py     what `validate` checks of a plugin
pictures.py     fused pictures of a split, for task networks
task_plan.py    which task networks are to be trained and scored
task_folds.py   likewise of a network that learned elsewhere, in folds
task_checks.py  looks for what would fail later
task_jobs.py    one of them, as plain data
task_run.py     training and scoring them
task_training.py  what is recorded of a network that is trained for a table
task_scores.py  scores of one network on fused pictures
"""
