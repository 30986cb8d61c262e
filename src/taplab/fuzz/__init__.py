"""Hostile cards, lines and files against the terminal: `tools/fuzz`."""
