"""The tap: from a card in the field to an outcome the rest of the sale can judge.

Reading order: reader (port), apdu, tlv, dol, parameters, outcome; preprocessing, selection, entry_point; kernels/ with
rules/ and proof/, which judge for them; read_card (the dialogue of one presentation), transaction (over as many as it
takes); replay/ (recorded taps). Clause numbers mean EMV Book A and B 2.5, Book 2 to 4 4.3, Book C-2 2.6 and later;
those of Books C-3 and C-7 rest on public implementations, since their text was not at hand.
"""
