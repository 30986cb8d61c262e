"""Kernel C-3: Visa qVSDC."""
