"""Printers: ESC/POS over TCP."""
