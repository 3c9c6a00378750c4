"""Committed tables with their provenance."""
