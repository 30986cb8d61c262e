"""What may leave of the card: a token, a masked number, an envelope only the host can open.

Reading order: credential (shapes), keystore (port), dukpt, seal_card, adapters/.
"""
