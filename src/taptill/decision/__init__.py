"""Judging: card result, budget and host health in, one decision out. Nothing is read or sent. Reading order: decide."""
