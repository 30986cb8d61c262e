"""The tap: from a card in the field to an outcome the rest of the sale can judge.

Reading order: reader (port), apdu, tlv, dol, parameters, outcome, preprocessing, selection, entry_point, kernels/,
offline_authentication, ca_keys, read_card (the dialogue of one presentation), transaction (over as many as it takes),
replay/ (recorded taps).
"""
