"""Telling the customer. Reading order: facts (in), texts, compose, layout, text, escpos, printer (port), status,
adapters/."""
