"""Journals on real storage: sqlite."""
