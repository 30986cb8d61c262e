"""`tlv`: a card's record taken apart, beside a bare loop and what else could be had.

Strategy: one record of 316 octets and one small answer of templates within templates, each parsed by all contenders in
turns. The bar is a loop written by hand that keeps to the bounds and makes tuples: what reading these octets costs in
this language at all. Speed is worth nothing where octets are guessed at, so all get the same five malformed inputs too.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from taplab.bench.measurement import Better, Figure, Plan, Result
from taplab.bench.rounds import Ready, Seconds, in_turns
from taptill.card.tlv import encode_tlv, parse_tlv

BAR = 1.5
ROUNDS, PARSES_PER_ROUND = 25, 2_000
RECORD_OCTETS = 316
OURS, BARE = "taptill", "bare loop"

MALFORMED = {
    "cut tag": "9F",
    "no length": "9F02",
    "value beyond the end": "9F02060000",
    "value beyond its template": "70049F0206009A03261001",
    "indefinite length": "70809F020100" + "0000",
}

_DATA = {
    0x57: "6228000100001117D30122010000012300000F",
    0x5A: "6228000100001117",
    0x5F20: "5445535420434152442F4C4142",
    0x5F24: "301231",
    0x5F25: "200101",
    0x5F28: "0156",
    0x5F34: "01",
    0x8C: "9F02069F03069F1A0295055F2A029A039C019F37049F21039F4E14",
    0x8D: "8A029F02069F03069F1A0295055F2A029A039C019F37049F2103",
    0x8E: "000000000000000042031E031F02",
    0x9F07: "FFC0",
    0x9F08: "0030",
    0x9F0D: "D86004A800",
    0x9F0E: "0010980000",
    0x9F0F: "D86804F800",
    0x9F42: "0156",
    0x9F4A: "82",
}
# PPSE of one application, with its kernel and priority.
_PPSE = "6F30840E325041592E5359532E4444463031A51EBF0C1B61194F08A000000333010101500A50424F43204445424954870101"

Parse = Callable[[bytes], object]


def measure(plan: Plan) -> Result:
    rounds, parses = plan.count(ROUNDS, quick=9), plan.count(PARSES_PER_ROUND)
    plan.progress(f"{rounds} rounds of {parses} parses")
    contenders, absent = _contenders()
    inputs = {"record": record(), "PPSE": bytes.fromhex(_PPSE)}
    taken = {
        name: in_turns({who: _ready(parse, octets, parses) for who, parse in contenders.items()}, rounds)
        for name, octets in inputs.items()
    }
    of_record = taken["record"]
    return Result(
        ratio=of_record[OURS].best / of_record[BARE].best,
        bar=BAR,
        better=Better.LOWER,
        contenders={who: _figures(who, parse, taken, parses) for who, parse in contenders.items()},
        details={"octets of the record": len(inputs["record"]), "octets of the PPSE": len(inputs["PPSE"])},
        notes=(*_accepted(contenders), *absent),
    )


def record() -> bytes:
    """A record as large as a payment card's largest, filled up with a certificate."""
    body = b"".join(encode_tlv(tag, bytes.fromhex(value)) for tag, value in _DATA.items())
    certificate_octets = RECORD_OCTETS - len(body) - 7  # tags and lengths of template and certificate
    return encode_tlv(0x70, body + encode_tlv(0x9F46, b"\xa5" * certificate_octets))


def bare_loop(octets: bytes, at: int, end: int) -> list[tuple[int, object]]:
    """Tag, length, value and nothing else. Raises ValueError beyond the bounds."""
    found: list[tuple[int, object]] = []
    while at < end:
        first = tag = octets[at]
        at += 1
        if first & 0x1F == 0x1F:
            while True:
                if at >= end:
                    raise ValueError("cut tag")
                tag = tag << 8 | octets[at]
                at += 1
                if not octets[at - 1] & 0x80:
                    break
        if at >= end:
            raise ValueError("no length")
        length = octets[at]
        at += 1
        if length & 0x80:
            count = length & 0x7F
            if not 0 < count <= 4 or at + count > end:
                raise ValueError("bad length")
            length = int.from_bytes(octets[at : at + count], "big")
            at += count
        stop = at + length
        if stop > end:
            raise ValueError("overrun")
        found.append((tag, bare_loop(octets, at, stop) if first & 0x20 else octets[at:stop]))
        at = stop
    return found


def refused(parse: Parse) -> dict[str, bool]:
    """Of each malformed input whether the parser says so, in whatever way."""
    told: dict[str, bool] = {}
    for name, octets in MALFORMED.items():
        try:
            parse(bytes.fromhex(octets))
            told[name] = False
        except Exception:
            told[name] = True
    return told


def _contenders() -> tuple[dict[str, Parse], list[str]]:
    """Those that are installed, and a line for each that is not."""
    found: dict[str, Parse] = {OURS: parse_tlv, BARE: lambda octets: bare_loop(octets, 0, len(octets))}
    absent: list[str] = []
    for name, module, of_module in (
        ("pyemv", "pyemv.tlv", lambda tlv: tlv.decode),
        ("emv", "emv.protocol.structures", lambda structures: lambda octets: structures.TLV.unmarshal(list(octets))),
        ("ber_tlv", "ber_tlv.tlv", lambda tlv: lambda octets: tlv.Tlv.parse(octets, True)),
    ):
        try:
            found[name] = of_module(import_module(module))
        except ImportError as error:
            absent.append(f"{name} is not installed: {error}")
    return found, absent


def _ready(parse: Parse, octets: bytes, parses: int) -> Ready:
    def run() -> None:
        for _ in range(parses):
            parse(octets)

    return lambda: run


def _figures(who: str, parse: Parse, taken: dict[str, dict[str, Seconds]], parses: int) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for name, seconds in taken.items():
        figures[f"{name} us"] = round(seconds[who].best / parses * 1e6, 2)
        figures[f"{name}, ratio to bare"] = round(seconds[who].best / seconds[BARE].best, 2)
    figures["malformed refused"] = f"{sum(refused(parse).values())} of {len(MALFORMED)}"
    return figures


def _accepted(contenders: dict[str, Parse]) -> list[str]:
    told = {who: [name for name, said in refused(parse).items() if not said] for who, parse in contenders.items()}
    return [f"{who} takes for good: {', '.join(names)}" for who, names in told.items() if names]
