"""What the terminal is worth, measured beside what else could be had: `tools/bench`."""
