"""TapLab, the world in software: cards, reader chips, printers and the network, each behind a real boundary."""
