"""A PC/SC reader without hardware: the lab's cards behind a real pcscd.

Reading order: firmware (what a reader does with its cards), acr122 (one with a PN532 inside), vpcd (a slot of
vsmartcard's virtual reader), pcscd (a daemon of our own beside any other).
"""
