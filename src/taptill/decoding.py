"""What bytes mean, for people and for machines: `taptill decode`.

Comes in: a format and octets. Goes out: plain data and text. Strategy: the stages that speak a format describe it; here
they are only found by name.
"""

from __future__ import annotations

from taptill.card.apdu_names import describe_apdu
from taptill.card.tlv_names import describe_tlv, render_tree
from taptill.host.describe_message import describe_message


def decoded(form: str, octets: bytes) -> tuple[object, str]:
    """`form` is "tlv", "apdu" or "iso". Raises what the stage of that format raises for octets that are none."""
    if form == "tlv":
        nodes = describe_tlv(octets)
        return [node.as_json() for node in nodes], render_tree(nodes)
    description = describe_apdu(octets) if form == "apdu" else describe_message(octets)
    return description.as_json(), description.as_text()
