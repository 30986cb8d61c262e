"""Every offline proof a recorded tap holds, judged one by one.

Comes in: what was observed, the date, the CA keys. Goes out: the `Oda` of the strongest method used, and a verdict per
proof under the names transcripts use (`issuer_cert`, `icc_cert`, `sda`, `dda`, `fdda_v00`, `fdda_v01`, `cda`, `tdh`).
"""

from __future__ import annotations

from collections.abc import Iterator

from taptill.card.ca_keys import CaKeyStore
from taptill.card.certificates import Refused
from taptill.card.observation import Observed
from taptill.card.offline_authentication import (
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
from taptill.card.outcome import Oda, OdaVerdict
from taptill.card.tlv import find

_STRONGEST_FIRST = ("cda", "fdda", "dda", "sda")


def judge_proofs(observed: Observed, pan: str, date_yymmdd: str, ca_keys: CaKeyStore) -> tuple[Oda, dict[str, str]]:
    """The strongest method's `Oda`, and "passed" or the reason per proof."""
    if 0x8F not in observed.data:
        return Oda(), {}
    records = observed.authenticated_records()
    static_data = records if isinstance(records, Refused) else static_data_of(records, observed.data)
    evidence = Evidence(observed.aid, observed.data, pan, static_data, date_yymmdd)
    proofs: dict[str, str] = {"issuer_cert": _said(issuer_key_of(evidence, ca_keys)[1])}
    if 0x9F46 in observed.data:
        proofs["icc_cert"] = _said(card_key(evidence, ca_keys)[1])
    judged = dict(_methods(observed, evidence, ca_keys))
    for name, oda in judged.items():
        proofs.update(_named(name, oda, observed))
    strongest = next((judged[name] for name in _STRONGEST_FIRST if name in judged), Oda())
    return strongest, proofs


def _methods(observed: Observed, evidence: Evidence, ca_keys: CaKeyStore) -> Iterator[tuple[str, Oda]]:
    if 0x93 in observed.data:
        yield "sda", authenticate_static(evidence, ca_keys)
    if find(observed.gpo, 0x9F4B) is not None or (not observed.generate_ac and 0x9F4B in observed.data):
        yield "fdda", authenticate_fast(evidence, ca_keys, observed.sent)
    if observed.dynamic_signature and observed.ddol_values is not None:
        yield "dda", authenticate_dynamic(evidence, ca_keys, observed.ddol_values, observed.dynamic_signature)
    if find(observed.generate_ac, 0x9F4B) is not None:
        number = observed.sent.get(0x9F37, b"")
        combined = CombinedSignature(number, observed.pdol_values, observed.cdol_values, observed.generate_ac)
        yield "cda", authenticate_combined(evidence, ca_keys, combined)


def _named(name: str, oda: Oda, observed: Observed) -> dict[str, str]:
    said = "passed" if oda.verdict is OdaVerdict.PASSED else oda.reason
    if name == "fdda":
        return {"fdda_v01" if observed.data.get(0x9F69, b"\x00")[:1] == b"\x01" else "fdda_v00": said}
    if name != "cda":
        return {name: said}
    signature = "passed" if said == "transaction-data-differ" else said
    return {"cda": signature, "tdh": said}


def _said(result: object) -> str:
    return result.reason if isinstance(result, Refused) else "passed"
