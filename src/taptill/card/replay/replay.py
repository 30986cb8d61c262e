"""Replaying a recorded tap, for `taptill replay` and for foreign test data.

Comes in: a transcript document. Goes out: a `ReplayReport`, or the typed refusal of a document that holds no tap.
Strategy: where the kernel of the card is built in, it runs, told the recording's own terminal data; otherwise, and for
a card in a contact reader, the recording is observed, which judges records and offline proofs. Signatures are judged
over the recorded bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from taptill.card.bits import has_bit, without_bit
from taptill.card.kernels.fast.tap import given_cryptogram
from taptill.card.outcome import CardRead, CryptogramType, Cvm, Oda, OdaVerdict, OutcomeKind
from taptill.card.parameters import Combination
from taptill.card.payment_data import cryptogram_type, pan_digits, parse_track2
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import KERNELS, drive, read_card
from taptill.card.replay.differences import command_differences
from taptill.card.replay.directory import (
    RecordedApplication,
    kernel_of,
    recorded_applications,
    with_all_records,
    with_directory,
)
from taptill.card.replay.expectations import missed_expectations
from taptill.card.replay.interface import Interface, recorded_interface
from taptill.card.replay.masking import masking
from taptill.card.replay.mastercard import NO_CVM, NONE_PERFORMED, ON_DEVICE, ONLINE_PIN, SIGNATURE, verified_by
from taptill.card.replay.observation import Observed, observe
from taptill.card.replay.proofs import judge_proofs
from taptill.card.replay.recording import RecordedCard, Recording, case_ids, load_recording
from taptill.card.replay.report import OUTCOME_WORDS, ReplayReport, shown_tags
from taptill.card.replay.terminal import RecordedTerminal, recorded_field_55, recorded_terminal
from taptill.card.rules.tvr import TVR_CDA_FAILED, TVR_DDA_FAILED, TVR_EXPIRED, TVR_NOT_YET_EFFECTIVE
from taptill.card.selection import DEFAULT_KERNELS, KERNEL_NAMES
from taptill.card.sensitive import mask_pan

_BY_CRYPTOGRAM = {
    CryptogramType.TC: OutcomeKind.APPROVED,
    CryptogramType.ARQC: OutcomeKind.ONLINE_REQUEST,
    CryptogramType.AAC: OutcomeKind.DECLINED,
}
_CVM = {
    ON_DEVICE: Cvm.CONSUMER_DEVICE,
    ONLINE_PIN: Cvm.ONLINE_PIN,
    SIGNATURE: Cvm.SIGNATURE,
    NO_CVM: Cvm.NONE,
    NONE_PERFORMED: Cvm.NONE,
}
_CRYPTOGRAM_IN_CVR = {3, 7}  # kernels that read it from 9F10 where 9F27 is missing
_NOT_ASKED_FOR = "cryptogram-not-asked-for"  # what kernel C-2 says of a better cryptogram than it asked for
_CARD_NUMBERS = (0x5A, 0x57, 0x56, 0x9F6B)


@dataclass(frozen=True, slots=True)
class _Replayed:
    """What every way of replaying starts from."""

    recording: Recording
    observed: Observed
    applications: tuple[RecordedApplication, ...]
    kernel_id: int
    interface: Interface
    terminal: RecordedTerminal
    oda: Oda
    proofs: Mapping[str, str]
    ca_keys: CaKeyStore

    @property
    def pan(self) -> str:
        return _pan_of(self.observed)


def replay(document: Mapping[str, object], case_id: str | None, ca_keys: CaKeyStore) -> ReplayReport:
    """Replays one recorded card. Raises TranscriptRefused for a document without one."""
    recording = load_recording(document, case_id)
    observed = observe(recording.exchanges)
    applications = recorded_applications(recording.exchanges)
    kernel_id = kernel_of(observed.aid, applications)
    interface = recorded_interface(recording.exchanges, observed, kernel_id)
    terminal = recorded_terminal(recording, observed)
    observed.sent = {**terminal.stated, **observed.sent}  # what the recorded commands do not show
    oda, proofs = judge_proofs(observed, _pan_of(observed), terminal.request.date_yymmdd, ca_keys)
    told = _Replayed(recording, observed, applications, kernel_id, interface, terminal, oda, proofs, ca_keys)
    built_in = kernel_id in KERNELS or not observed.aid
    report = _run_kernel(told) if built_in and interface is Interface.CONTACTLESS else _only_observed(told)
    names = case_ids(document)
    return replace(report, cases=names if len(names) > 1 else ())


def _run_kernel(told: _Replayed) -> ReplayReport:
    observed, terminal = told.observed, told.terminal
    recording = with_all_records(with_directory(told.recording, told.applications), observed)
    card = RecordedCard(recording)
    combinations = _combinations(told)
    read = drive(read_card(terminal.request, combinations, told.ca_keys), card, 0)
    differing = tuple(command_differences(card, observed))
    read = _judged_over_the_recording(read, told) if card.differing else read
    numbers = {tag: observed.data[tag] for tag in _CARD_NUMBERS if tag in observed.data}
    report = ReplayReport(
        case_id=recording.case_id,
        outcome=OUTCOME_WORDS.get(read.outcome.kind, read.outcome.kind.value),
        reason=read.outcome.reason,
        interface=told.interface.value,
        aid=read.aid.hex().upper(),
        kernel=read.kernel,
        label=read.label,
        masked_pan=mask_pan(read.number.pan.reveal().decode() if read.number else told.pan),
        oda=read.oda,
        tvr=read.tvr.hex().upper(),
        cvm=read.outcome.cvm.value,
        cryptogram_type=read.cryptogram_type,
        tags=shown_tags({**numbers, **read.data}),
        proofs=told.proofs,
        differing=differing,
    )
    return _with_missed(report, told, {**numbers, **read.data})


def _combinations(told: _Replayed) -> list[Combination]:
    """What the recorded reader served, as far as its card shows; a card that shows nothing meets every kernel here."""
    terminal, observed = told.terminal, told.observed
    served = [each for each in told.applications if each.kernel_id in KERNELS]
    if not served:
        rids = [(rid, kernel_id) for rid, kernel_id in DEFAULT_KERNELS.items() if kernel_id in KERNELS]
        return [terminal.combination(rid, kernel_id, observed) for rid, kernel_id in rids]
    return [terminal.combination(each.adf_name, each.kernel_id, observed, each.extended) for each in served]


def _judged_over_the_recording(read: CardRead, told: _Replayed) -> CardRead:
    """A signature covers what was said when it was made. Where our commands differ from those, the kernel's verdict
    over ours says nothing, and the recording's own proof and cryptogram take its place; so where we asked for another
    cryptogram than the recorded terminal did. An approval of a card that is expired or not valid yet stays what the
    kernel made of it."""
    asked_otherwise = read.outcome.reason == _NOT_ASKED_FOR
    kind = cryptogram_type(told.observed.data.get(0x9F27)) if asked_otherwise else read.cryptogram_type
    unproven = asked_otherwise or read.oda.verdict is OdaVerdict.FAILED
    if not unproven or told.oda.verdict is not OdaVerdict.PASSED or kind is None:
        return read
    tvr = without_bit(without_bit(read.tvr, TVR_DDA_FAILED), TVR_CDA_FAILED)
    read = replace(read, oda=told.oda, tvr=tvr, cryptogram_type=kind, data={**read.data, **told.oda.signed_data})
    if kind is CryptogramType.TC and (has_bit(tvr, TVR_EXPIRED) or has_bit(tvr, TVR_NOT_YET_EFFECTIVE)):
        return read
    verified = _CVM.get(verified_by(told.observed) or 0, read.outcome.cvm)
    outcome = replace(read.outcome, kind=_BY_CRYPTOGRAM[kind], cvm=verified, reason="judged-over-the-recorded-commands")
    return replace(read, outcome=outcome)


def _only_observed(told: _Replayed) -> ReplayReport:
    recording, observed = told.recording, told.observed
    fast = told.kernel_id in _CRYPTOGRAM_IN_CVR
    kind = given_cryptogram(observed.data) if fast else cryptogram_type(observed.data.get(0x9F27))
    outcome = _BY_CRYPTOGRAM[kind] if kind else OutcomeKind.END_APPLICATION
    if kind is None and observed.checksum_values is not None:
        outcome = OutcomeKind.ONLINE_REQUEST
    if kind is CryptogramType.TC and told.oda.verdict is OdaVerdict.FAILED:
        outcome = OutcomeKind.DECLINED
    tags = {**observed.sent, **observed.data, **told.oda.signed_data}
    report = ReplayReport(
        case_id=recording.case_id,
        outcome=OUTCOME_WORDS.get(outcome, outcome.value),
        reason="observed-only" if observed.gpo else "no-options-recorded",
        interface=told.interface.value,
        aid=observed.aid.hex().upper(),
        kernel=_no_kernel(told),
        label=observed.label,
        masked_pan=mask_pan(told.pan),
        oda=told.oda,
        tvr=(observed.sent.get(0x95) or bytes(5)).hex().upper(),
        cvm=_CVM.get(verified_by(observed) or 0, Cvm.NOT_APPLICABLE).value,
        cryptogram_type=kind,
        tags=shown_tags(tags),
        proofs=told.proofs,
    )
    return _with_missed(report, told, tags)


def _with_missed(report: ReplayReport, told: _Replayed, tags: Mapping[int, bytes]) -> ReplayReport:
    field_55 = recorded_field_55(told.recording.document)
    missed = missed_expectations(told.recording, report.outcome, tags, told.proofs, field_55)
    masked = masking(told.recording.exchanges)
    return replace(
        report,
        aid=masked(report.aid),
        label=masked(report.label),
        tags={tag: masked(value) for tag, value in report.tags.items()},
        differing=tuple(map(masked, report.differing)),
        missed=tuple(map(masked, missed)),
    )


def _pan_of(observed: Observed) -> str:
    """Digits, "" when the card named none."""
    track2 = parse_track2(observed.data.get(0x57, b"")) or parse_track2(observed.data.get(0x9F6B, b""))
    return pan_digits(observed.data.get(0x5A, b"")) or (track2.pan if track2 else "")


def _no_kernel(told: _Replayed) -> str:
    if told.interface is Interface.CONTACT:
        return "none: a contact transcript is judged on its records and offline proofs"
    scheme = KERNEL_NAMES.get(told.kernel_id)
    if scheme is None:
        return "none: no payment scheme known here"
    return f"none: C-{told.kernel_id} ({scheme}) is not built in"
