"""TapHost, the other end: a reference acquirer and credit-pay issuer.

Reading order, as a message travels: server (TLS, frames), wire (octets to request), acquirer (one message, one commit),
ledger (the rules), issuer and accounts (whose card, is it genuine, how much), store and its adapters, config, cli.
Certified by nobody; for laboratories, tests and as a model of what the terminal may expect of a host.
"""
