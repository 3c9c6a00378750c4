"""Fusion methods: one file and one card each, or a folder."""
