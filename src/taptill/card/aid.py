"""Application identifiers (EMV Book 1, 12.2.1): who registered an application, and what of it is the application's own.

Comes in: nothing, these are names. Goes out: the length of a registered application provider identifier.
"""

from __future__ import annotations

RID_OCTETS = 5
