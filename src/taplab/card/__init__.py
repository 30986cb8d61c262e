"""Cards in software: a UnionPay credit card whose cryptograms and signatures a terminal and a host can check.

Reading order: rsa_key, certificates, scheme (the lab's CA and issuer), personalisation (what is written into a card),
risk_management, card (what it answers), card_state, card_file (TOML), pboc_personalisation (data groups).
"""

from taplab.card.card import Card, CardAnswer, CardState
from taplab.card.card_file import load_card, packaged_cards
from taplab.card.scheme import Scheme

__all__ = ["Card", "CardAnswer", "CardState", "Scheme", "load_card", "packaged_cards"]
