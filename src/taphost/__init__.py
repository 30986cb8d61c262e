"""TapHost, the other end: a reference acquirer and credit-pay issuer."""
