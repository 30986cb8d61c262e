"""Asking the acquirer. Reading order: exchange (shapes), profile (rows and answers as data), codec, framing, compose,
read_reply, session (sans-io), link (port), breaker, adapters/. Beside the way: describe_message.
"""
