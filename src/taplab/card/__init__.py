"""Cards in software: UnionPay, Visa and Mastercard, whose cryptograms and signatures a terminal and a host can check.

Reading order: rsa_key, certificates, scheme (the lab's CA and issuer), personalisation (what is written into a card),
commands, application (what all applications do), issuer_commands; risk_management, quick_application, unionpay, visa;
mastercard; card (directory and selection), card_state; card_tables, records, issuing and card_file (TOML);
pboc_personalisation (data groups); in_hand (a card at a kernel without a reader).
"""

from taplab.card.card import Card
from taplab.card.card_file import load_card, packaged_cards
from taplab.card.card_state import CardState
from taplab.card.commands import CardAnswer
from taplab.card.scheme import Scheme

__all__ = ["Card", "CardAnswer", "CardState", "Scheme", "load_card", "packaged_cards"]
