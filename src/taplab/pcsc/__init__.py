"""A PC/SC reader without hardware: the lab's cards behind a real pcscd.

Reading order: vpcd (a card in a slot of vsmartcard's virtual reader), pcscd (a daemon of our own beside any other).
"""
