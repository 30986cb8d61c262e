"""Telling the customer. Reading order: facts (in), texts, compose, escpos, printer (port), adapters/."""
