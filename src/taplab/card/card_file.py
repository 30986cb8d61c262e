"""Cards as TOML files: what is special about a card in a dozen lines, everything else as a UnionPay credit card has it.

Comes in: a TOML file (or the name of one that comes with the lab) and the lab's scheme. Goes out: a `Card`.
Strategy: personalise like an issuer: records first, then the certificate over the static data in them, then the AFL. An
unknown key in the file is an error, so a typing slip does not give a card that silently behaves.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from taphost.issuer import derive_card_key
from taplab.card.card import PPSE_NAME, Card
from taplab.card.card_state import read_state, write_state
from taplab.card.certificates import Certificate
from taplab.card.personalisation import Blocked, CardVerification, ComputeTime, OfflineFunds, Personalisation
from taplab.card.scheme import LAB_CA_INDEX, Scheme
from taptill.card.tlv import encode_tlv
from taptill.entropy import Entropy
from taptill.errors import ConfigError

CARDS = Path(__file__).with_name("cards")

UNIONPAY_CREDIT = bytes.fromhex("A000000333010102")
PDOL = bytes.fromhex("9F66049F02069F03069F1A0295055F2A029A039C019F3704")
AIP = bytes.fromhex("7C00")  # SDA, DDA, cardholder verification, risk management, issuer authentication
AFL = bytes.fromhex("08010100 10010200 18010201")  # track 2; certificates; signed data, then the dynamic record
# Length, key index 01, CVN 01, CVR, algorithm 01, then the issuer's own data of type 01: balance and MAC.
ISSUER_DATA = bytes.fromhex("07010103000000010A01") + bytes(9)
LABEL = b"UnionPay Credit"
CHINA = bytes.fromhex("0156")


class CardFileError(ConfigError):
    """A card file that is missing, malformed, or holds a key nobody reads."""


class _Offline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    balance_minor: int = 0
    single_limit_minor: int = 0
    ceiling_minor: int = 0


class _Verification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    online_pin: bool = True
    signature: bool = True
    consumer_device: bool = False


class _Compute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    select_ms: int = 3
    decide_ms: int = 15
    sign_ms: int = 60
    record_ms: int = 2


class _Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    blocked: Literal["no", "aac", "6985"] = "no"
    broken_certificate: bool = False
    omits_cryptogram_type: bool = False


class CardFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One TOML file, as it is written."""

    label: str
    pan: str
    expiry: str  # YYYY-MM
    sequence: int = 1
    effective: str = "2020-01"
    service_code: str = "201"
    uid: str = ""  # hex; empty: random
    offline: _Offline = _Offline()
    verification: _Verification = _Verification()
    compute: _Compute = _Compute()
    faults: _Faults = _Faults()


def packaged_cards() -> dict[str, Path]:
    """The cards that come with the lab, by name."""
    return {path.stem: path for path in sorted(CARDS.glob("*.toml"))}


def load_card(source: str | Path, scheme: Scheme, entropy: Entropy, state_path: Path | None = None) -> Card:
    """A card from a file, or from the name of a packaged one. With `state_path` its counter and balance outlive the
    process. Raises CardFileError, CardStateError."""
    path = packaged_cards().get(str(source), Path(source))
    written = personalise(read_card_file(path), scheme)
    if state_path is None:
        return Card(written, entropy)
    return Card(written, entropy, read_state(state_path), partial(write_state, state_path))


def read_card_file(path: Path) -> CardFile:
    """Raises CardFileError."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=CardFile)
    except OSError as missing:
        names = ", ".join(packaged_cards())
        raise CardFileError("no such card", where=str(path), next_step=f"name a file or one of: {names}") from missing
    except msgspec.DecodeError as broken:
        raise CardFileError(str(broken), where=str(path)) from broken
    _check(file, path)
    return file


def _check(file: CardFile, path: Path) -> None:
    """The texts that go into records digit by digit."""
    months = (file.expiry, file.effective)
    if not (file.pan.isascii() and file.pan.isdigit() and 12 <= len(file.pan) <= 19):
        raise CardFileError("`pan` is not 12 to 19 digits", where=str(path))
    if not all(len(month) == 7 and month[4] == "-" and month.replace("-", "").isdecimal() for month in months):
        raise CardFileError("`expiry` and `effective` are months like 2031-12", where=str(path))
    if not (len(file.service_code) == 3 and file.service_code.isdecimal() and 0 <= file.sequence <= 99):
        raise CardFileError("`service_code` has three digits, `sequence` at most two", where=str(path))
    if len(file.uid) not in (0, 8) or file.uid.strip("0123456789abcdefABCDEF"):
        raise CardFileError("`uid` is four bytes in hex", where=str(path))


def personalise(file: CardFile, scheme: Scheme) -> Personalisation:
    """What the issuer of the lab's scheme writes into this card."""
    sequence = f"{file.sequence:02d}"
    track2 = _track2(file)
    return Personalisation(
        label=file.label,
        ppse=_ppse(),
        aid=UNIONPAY_CREDIT,
        fci=_fci(),
        pdol=PDOL,
        aip=AIP,
        afl=AFL,
        records=_records(file, scheme, track2),
        track2=track2,
        sequence_number=bytes.fromhex(sequence),
        issuer_data=ISSUER_DATA,
        card_key=derive_card_key(scheme.issuer_key, file.pan, sequence),
        icc_key=scheme.card,
        funds=OfflineFunds(**msgspec.structs.asdict(file.offline)),
        verification=CardVerification(**msgspec.structs.asdict(file.verification)),
        compute=ComputeTime(**msgspec.structs.asdict(file.compute)),
        blocked=Blocked(file.faults.blocked),
        tells_cryptogram_type=not file.faults.omits_cryptogram_type,
        uid=bytes.fromhex(file.uid) or None,
    )


def _track2(file: CardFile) -> bytes:
    digits = file.pan + "D" + file.expiry[2:4] + file.expiry[5:7] + file.service_code + "01234567"
    return bytes.fromhex(digits + "F" * (len(digits) % 2))


def _records(file: CardFile, scheme: Scheme, track2: bytes) -> dict[tuple[int, int], bytes]:
    """By (SFI, number). 5F24 stays out of the last record: a card may leave while that one is read, and the terminal
    still has to know the expiry."""
    signed = _signed_data(file)
    issuer = scheme.issuer_certificate()
    icc = scheme.icc_certificate(file.pan, signed + AIP)
    if file.faults.broken_certificate:
        icc = _with_a_bit_flipped(icc)
    sequence = encode_tlv(0x5F34, bytes.fromhex(f"{file.sequence:02d}"))
    bodies = {
        (1, 1): encode_tlv(0x57, track2) + sequence,
        (2, 1): encode_tlv(0x8F, bytes([LAB_CA_INDEX]))
        + encode_tlv(0x90, issuer.signed)
        + encode_tlv(0x92, issuer.remainder)
        + encode_tlv(0x9F32, issuer.exponent),
        (2, 2): encode_tlv(0x9F46, icc.signed)
        + encode_tlv(0x9F47, icc.exponent)
        + encode_tlv(0x9F48, icc.remainder)
        + encode_tlv(0x9F4A, b"\x82"),
        (3, 1): signed,
        (3, 2): encode_tlv(0x9F42, CHINA) + encode_tlv(0x9F74, b"ECC001"),
    }
    return {place: encode_tlv(0x70, body) for place, body in bodies.items()}


def _signed_data(file: CardFile) -> bytes:
    """The static data under the ICC certificate."""
    expiry, effective = (bytes.fromhex(month[2:4] + month[5:7]) for month in (file.expiry, file.effective))
    return (
        encode_tlv(0x5A, bytes.fromhex(file.pan + "F" * (len(file.pan) % 2)))
        + encode_tlv(0x5F24, expiry + _last_day(file.expiry))
        + encode_tlv(0x5F25, effective + b"\x01")
        + encode_tlv(0x5F28, CHINA)
        + encode_tlv(0x9F07, bytes.fromhex("FF00"))
        + encode_tlv(0x9F08, bytes.fromhex("0030"))
    )


def _last_day(month: str) -> bytes:
    """The day in BCD; 28 for February, which is early enough in every year."""
    return bytes.fromhex({"02": "28", "04": "30", "06": "30", "09": "30", "11": "30"}.get(month[5:7], "31"))


def _with_a_bit_flipped(certificate: Certificate) -> Certificate:
    middle = len(certificate.signed) // 2
    octets = bytearray(certificate.signed)
    octets[middle] ^= 0x01
    return replace(certificate, signed=bytes(octets))


def _ppse() -> bytes:
    entry = encode_tlv(0x4F, UNIONPAY_CREDIT) + encode_tlv(0x50, LABEL) + encode_tlv(0x87, b"\x01")
    discretionary = encode_tlv(0xBF0C, encode_tlv(0x61, entry))
    return encode_tlv(0x6F, encode_tlv(0x84, PPSE_NAME) + encode_tlv(0xA5, discretionary))


def _fci() -> bytes:
    proprietary = (
        encode_tlv(0x50, LABEL)
        + encode_tlv(0x87, b"\x01")
        + encode_tlv(0x9F38, PDOL)
        + encode_tlv(0x5F2D, b"zhen")
        + encode_tlv(0x9F11, b"\x01")
        + encode_tlv(0x9F12, LABEL)
        + encode_tlv(0xBF0C, encode_tlv(0x9F4D, bytes.fromhex("0B0A")))
    )
    return encode_tlv(0x6F, encode_tlv(0x84, UNIONPAY_CREDIT) + encode_tlv(0xA5, proprietary))
