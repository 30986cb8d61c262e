"""Every offline proof a recorded tap holds, judged one by one.

Comes in: what was observed, the date, the CA keys. Goes out: the `Oda` of the strongest method used, and a verdict per
proof under the names transcripts use (`PROOFS`).
Strategy: a proof is what a signature is worth by itself, whatever the day; dates count in the `Oda`. Dynamic signatures
cover the recorded commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from taptill.card.outcome import Oda, OdaVerdict
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.proof.offline_authentication import (
    CombinedSignature,
    Evidence,
    authenticate_combined,
    authenticate_dynamic,
    authenticate_fast,
    authenticate_static,
    card_key,
    issuer_key_of,
    static_data_of,
)
from taptill.card.refused import Refused
from taptill.card.replay.observation import Cryptogram, Observed
from taptill.card.tlv import find

PROOFS = ("issuer_cert", "icc_cert", "sda", "dda", "fdda_v00", "fdda_v01", "cda", "tdh")
PASSED = "passed"

_STRONGEST_FIRST = ("cda", "fdda", "dda", "sda")
_BEFORE_ALL_EXPIRIES = "500101"  # years are 1950 to 2049 (EMV Book 4, 6.7.3)


def judge_proofs(observed: Observed, pan: str, date_yymmdd: str, ca_keys: CaKeyStore) -> tuple[Oda, dict[str, str]]:
    """The strongest method's `Oda` on that day, and "passed" or the reason per proof."""
    if 0x8F not in observed.data:
        return Oda(), {}
    records = observed.authenticated_records()
    static_data = records if isinstance(records, Refused) else static_data_of(records, observed.data)
    that_day = Evidence(observed.aid, observed.data, pan, static_data, date_yymmdd)
    undated = replace(that_day, date_yymmdd=_BEFORE_ALL_EXPIRIES)
    proofs: dict[str, str] = {"issuer_cert": _said(issuer_key_of(undated, ca_keys)[1])}
    if 0x9F46 in observed.data:
        proofs["icc_cert"] = _said(card_key(undated, ca_keys)[1])
    for name, oda in _methods(observed, undated, ca_keys):
        proofs.update(_named(name, oda, observed))
    judged = dict(_methods(observed, that_day, ca_keys))
    return next((judged[name] for name in _STRONGEST_FIRST if name in judged), Oda()), proofs


def _methods(observed: Observed, evidence: Evidence, ca_keys: CaKeyStore) -> Iterator[tuple[str, Oda]]:
    if 0x93 in observed.data:
        yield "sda", authenticate_static(evidence, ca_keys)
    if find(observed.gpo, 0x9F4B) is not None or (not observed.cryptograms and 0x9F4B in observed.data):
        yield "fdda", authenticate_fast(evidence, ca_keys, observed.sent)
    if observed.dynamic_signature and observed.ddol_values is not None:
        yield "dda", authenticate_dynamic(evidence, ca_keys, observed.ddol_values, observed.dynamic_signature)
    signed = [at for at, each in enumerate(observed.cryptograms) if find(each.response, 0x9F4B) is not None]
    if signed:
        combined = [authenticate_combined(evidence, ca_keys, _combined(observed, at)) for at in signed]
        yield "cda", next((oda for oda in combined if oda.verdict is not OdaVerdict.PASSED), combined[-1])


def _combined(observed: Observed, at: int) -> CombinedSignature:
    """What the signature of that GENERATE AC covers; of a second one the first one's values too (EMV Book 2, 6.6)."""
    first: Cryptogram = observed.cryptograms[0]
    signed = observed.cryptograms[at]
    number = signed.sent.get(0x9F37) or first.sent.get(0x9F37) or observed.sent.get(0x9F37, b"")
    return CombinedSignature(
        unpredictable_number=number,
        pdol_values=observed.pdol_values,
        cdol_values=first.values,
        cdol2_values=signed.values if at else b"",
        response=signed.octets,
        relay_resistance=observed.relay_resistance,
    )


def _named(name: str, oda: Oda, observed: Observed) -> dict[str, str]:
    said = PASSED if oda.verdict is OdaVerdict.PASSED else oda.reason
    if name == "fdda":
        return {"fdda_v01" if observed.data.get(0x9F69, b"\x00")[:1] == b"\x01" else "fdda_v00": said}
    if name != "cda":
        return {name: said}
    signature = PASSED if said == "transaction-data-differ" else said
    return {"cda": signature, "tdh": said}


def _said(result: object) -> str:
    return result.reason if isinstance(result, Refused) else PASSED
