"""Readers on real boundaries: pn532 (serial), pcsc."""
