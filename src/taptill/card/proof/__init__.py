"""Is the card, and what it said, its issuer's: certificates, signatures, CA keys (EMV Book 2; Book E for ECC)."""
