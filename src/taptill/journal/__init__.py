"""What must survive power loss. Reading order: entries, port, chain, counters, projection, wire, audit, forwarding,
recovery, explain, export, adapters/.
"""
