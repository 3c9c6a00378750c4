"""The cards beside every plugin's code. Public name of :mod:`fusionbench.plugins.cards`, for plugins."""

from fusionbench.plugins.cards import Card, card, cards

__all__ = ["Card", "card", "cards"]
