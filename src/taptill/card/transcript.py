"""Replaying a recorded tap, for `taptill replay` and for foreign test data.

Comes in: a transcript document. Goes out: a `ReplayReport`, or the typed refusal of a document that holds no tap.
Strategy: where the kernel of the card is built in, it runs, told the recording's own terminal data; otherwise the
recording is observed, which judges records and offline proofs. Signatures are judged over the recorded bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taptill.card.ca_keys import RID_OCTETS, CaKeyStore
from taptill.card.kernels.fast_tap import given_cryptogram
from taptill.card.observation import Observed, observe
from taptill.card.outcome import CardRead, CryptogramType, OdaVerdict, OutcomeKind
from taptill.card.payment_data import parse_track2
from taptill.card.preprocessing import prepare
from taptill.card.proofs import judge_proofs
from taptill.card.read_card import KERNELS, drive, read_card
from taptill.card.recording import RecordedCard, Recording, load_recording
from taptill.card.replay_terminal import RecordedTerminal, recorded_field_55, recorded_terminal
from taptill.card.selection import DEFAULT_KERNELS, KERNEL_NAMES, PPSE, select_command
from taptill.card.sensitive import mask_pan
from taptill.card.tlv_names import shown_value

OUTCOME_WORDS = {
    OutcomeKind.ONLINE_REQUEST: "online",
    OutcomeKind.SELECT_NEXT: "end application",
}
_BY_CRYPTOGRAM = {CryptogramType.TC: "approved", CryptogramType.ARQC: "online", CryptogramType.AAC: "declined"}


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found; card numbers are masked. `proofs` says "passed" or a reason per offline proof, and
    `differences` what contradicts the recording or its expectations."""

    case_id: str
    outcome: str
    reason: str
    aid: str
    kernel: str
    label: str
    masked_pan: str
    oda_method: str
    oda_result: str
    oda_reason: str
    tvr: str
    cvm: str
    cryptogram_type: str | None
    tags: Mapping[str, str]
    proofs: Mapping[str, str] = field(default_factory=dict)
    differences: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain data for JSON (DESIGN 6)."""
        return {
            "case": self.case_id,
            "outcome": self.outcome,
            "reason": self.reason,
            "aid": self.aid,
            "kernel": self.kernel,
            "label": self.label,
            "masked_pan": self.masked_pan,
            "oda": {"method": self.oda_method, "result": self.oda_result, "reason": self.oda_reason},
            "tvr": self.tvr,
            "cvm": self.cvm,
            "cryptogram_type": self.cryptogram_type,
            "tags": dict(self.tags),
            "proofs": dict(self.proofs),
            "differences": list(self.differences),
        }


def replay(document: Mapping[str, object], case_id: str | None, ca_keys: CaKeyStore) -> ReplayReport:
    """Replays one recorded card. Raises TranscriptRefused for a document without one."""
    recording = load_recording(document, case_id)
    observed = observe(recording.exchanges)
    terminal = recorded_terminal(recording, observed)
    kernel_id = DEFAULT_KERNELS.get(observed.aid[:RID_OCTETS])
    if kernel_id in KERNELS and _starts_at_the_directory(recording):
        return _run_kernel(recording, observed, terminal, ca_keys)
    return _only_observed(recording, observed, terminal, ca_keys)


def _starts_at_the_directory(recording: Recording) -> bool:
    return any(exchange.command == select_command(PPSE, "").encode() for exchange in recording.exchanges)


def _run_kernel(
    recording: Recording, observed: Observed, terminal: RecordedTerminal, ca_keys: CaKeyStore
) -> ReplayReport:
    card = RecordedCard(recording)
    read = drive(read_card(terminal.request, [terminal.combination], ca_keys), card, 0)
    tags = {tag: value for tag, value in observed.data.items() if tag in (0x5A, 0x57)} | dict(read.data)
    pan = read.number.pan.reveal().decode() if read.number else ""
    _, proofs = judge_proofs(observed, pan, terminal.request.date_yymmdd, ca_keys)
    outcome = OUTCOME_WORDS.get(read.outcome.kind, read.outcome.kind.value)
    sent = prepare(terminal.combination, terminal.request).ttq
    differences = [*card.differences, *_missed(recording.document, outcome, tags, proofs)]
    if observed.sent.get(0x9F66, sent) != sent:
        differences.append(f"9F66 sent {sent.hex().upper()}, recorded {observed.sent[0x9F66].hex().upper()}")
    return _report(recording, read, outcome, mask_pan(pan), tags, proofs, tuple(differences))


def _only_observed(
    recording: Recording, observed: Observed, terminal: RecordedTerminal, ca_keys: CaKeyStore
) -> ReplayReport:
    data = observed.data
    track2 = parse_track2(data.get(0x57, b"")) or parse_track2(data.get(0x9F6B, b""))
    pan = data.get(0x5A, b"").hex().upper().rstrip("F") or (track2.pan if track2 else "")
    oda, proofs = judge_proofs(observed, pan, terminal.request.date_yymmdd, ca_keys)
    kind = given_cryptogram(data)
    outcome = _BY_CRYPTOGRAM[kind] if kind else ("online" if observed.checksum_computed else "end application")
    if kind is CryptogramType.TC and oda.verdict is OdaVerdict.FAILED:
        outcome = "declined"
    tags = observed.sent | data
    return ReplayReport(
        case_id=recording.case_id,
        outcome=outcome,
        reason="observed-only" if observed.gpo else "no-options-recorded",
        aid=observed.aid.hex().upper(),
        kernel=_no_kernel(observed),
        label=observed.label,
        masked_pan=mask_pan(pan),
        oda_method=oda.method.value,
        oda_result=oda.verdict.value,
        oda_reason=oda.reason,
        tvr=(observed.sent.get(0x95) or bytes(5)).hex().upper(),
        cvm="N/A",
        cryptogram_type=kind.value if kind else None,
        tags=_shown(tags),
        proofs=proofs,
        differences=tuple(_missed(recording.document, outcome, tags, proofs)),
    )


def _report(
    recording: Recording,
    read: CardRead,
    outcome: str,
    masked_pan: str,
    tags: Mapping[int, bytes],
    proofs: Mapping[str, str],
    differences: tuple[str, ...],
) -> ReplayReport:
    return ReplayReport(
        case_id=recording.case_id,
        outcome=outcome,
        reason=read.outcome.reason,
        aid=read.aid.hex().upper(),
        kernel=read.kernel,
        label=read.label,
        masked_pan=masked_pan,
        oda_method=read.oda.method.value,
        oda_result=read.oda.verdict.value,
        oda_reason=read.oda.reason,
        tvr=read.tvr.hex().upper(),
        cvm=read.outcome.cvm.value,
        cryptogram_type=read.cryptogram_type.value if read.cryptogram_type else None,
        tags=_shown(tags),
        proofs=proofs if read.oda.verdict is not OdaVerdict.NOT_PERFORMED else {},
        differences=differences,
    )


def _no_kernel(observed: Observed) -> str:
    kernel_id = DEFAULT_KERNELS.get(observed.aid[:RID_OCTETS])
    if kernel_id is None:
        return "none: no payment scheme known here"
    if kernel_id in KERNELS:
        return f"none: C-{kernel_id} needs a recording from SELECT PPSE on"
    return f"none: C-{kernel_id} ({KERNEL_NAMES[kernel_id]}) is not built in"


def _shown(tags: Mapping[int, bytes]) -> dict[str, str]:
    return {f"{tag:X}": shown_value(tag, value) for tag, value in sorted(tags.items())}


def _missed(
    document: Mapping[str, object], outcome: str, tags: Mapping[int, bytes], proofs: Mapping[str, str]
) -> list[str]:
    """Where the document says what should come out, and something else did."""
    missed = []
    expected = document.get("outcome")
    if isinstance(expected, str) and expected != outcome:
        missed.append(f"outcome {outcome}, recorded {expected}")
    named = document.get("reverified_here")
    for proof in named if isinstance(named, list) else []:
        if proofs.get(str(proof)) != "passed":
            missed.append(f"{proof}: {proofs.get(str(proof), 'not in the recording')}")
    for tag, value in recorded_field_55(document).items():
        if tags.get(tag) != value:
            ours = shown_value(tag, tags[tag]) if tag in tags else "nothing"
            missed.append(f"field 55, {tag:X}: {ours}, recorded {shown_value(tag, value)}")
    return missed
