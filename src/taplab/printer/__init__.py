"""A receipt printer in software. Reading order: events, decoder, paper, fonts, picture, mechanism, server."""
