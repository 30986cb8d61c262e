"""Kernel C-2: Mastercard (EMV Book C-2). One dialogue per tap, split at the states the book numbers.

Reading order: configuration (what the reader is set to), transaction (the book's database of one tap), options (S3),
relay and relay_resistance (SR1), card_data (S4, S5), data_exchange (DEK and DET), decision (S456: what to ask for),
balance (S16, S17), cryptogram (S9, S10, S11), outcome (S9_10), mag_stripe and mag_track (S7, S13), kernel.
"""
