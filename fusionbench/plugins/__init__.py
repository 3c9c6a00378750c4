"""Plugins: cards, the code behind them, and what a method is.

cards.py        the card beside every plugin's code
records.py      what a card says, as typed records
registry.py     from a name to the class or function
method.py       Method, the base of all fusion methods
trainable.py    what the cards say of training
syntax.py       a file of code as what it does: its hash, imports, plugins it asks for
fingerprint.py  a hash of the code behind a number
weights.py      checkpoints: added, verified, listed
"""
