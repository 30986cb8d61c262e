"""The data dictionary: what a tag is called and how its value is padded.

Comes in: a tag. Goes out: its name and format. Sources: EMV Book 3, Annex A; Book C-3, Annex A; PBOC 3.0 (JR/T 0025)
for what only UnionPay cards know. A tag that is not here is binary and nameless.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Format(Enum):
    """EMV Book 3, 4.3: how a value is aligned when its length changes."""

    NUMERIC = "n"
    COMPRESSED_NUMERIC = "cn"
    BINARY = "b"
    TEXT = "an"


@dataclass(frozen=True, slots=True)
class DataElement:
    """Name and format of one tag."""

    name: str
    format: Format = Format.BINARY


# 9F5E, the data storage identifier of C-2, is the card number with its sequence number (EMV Book C-2, DS ID). 9F61 is
# the number of the holder's identity card on UnionPay cards (JR/T 0025.5); with 9F60 it is the checksum of mag-stripe
# mode on Mastercard cards, which stands for the card once.
SENSITIVE_TAGS = frozenset({0x5A, 0x57, 0x56, 0x9F6B, 0x5F20, 0x9F0B, 0x9F1F, 0x9F20, 0x9F5E, 0x9F60, 0x9F61})

_NUMERIC = {
    0x5F24: "Application Expiration Date",
    0x5F25: "Application Effective Date",
    0x5F28: "Issuer Country Code",
    0x5F2A: "Transaction Currency Code",
    0x5F30: "Service Code",
    0x5F34: "PAN Sequence Number",
    0x5F36: "Transaction Currency Exponent",
    0x5F57: "Account Type",
    0x9A: "Transaction Date",
    0x9C: "Transaction Type",
    0x9F01: "Acquirer Identifier",
    0x9F02: "Amount, Authorised",
    0x9F03: "Amount, Other",
    0x9F11: "Issuer Code Table Index",
    0x9F15: "Merchant Category Code",
    0x9F19: "Token Requestor ID",
    0x9F1A: "Terminal Country Code",
    0x9F21: "Transaction Time",
    0x9F35: "Terminal Type",
    0x9F39: "POS Entry Mode",
    0x9F3C: "Transaction Reference Currency Code",
    0x9F41: "Transaction Sequence Counter",
    0x9F42: "Application Currency Code",
    0x9F44: "Application Currency Exponent",
    0x9F51: "Application Currency Code (UnionPay)",
    0x9F54: "Cumulative Total Transaction Amount Limit",
    0x9F5D: "Available Offline Spending Amount",
    0x9F6D: "Electronic Cash Reset Threshold",
    0x9F77: "Electronic Cash Balance Limit",
    0x9F78: "Electronic Cash Single Transaction Limit",
    0x9F79: "Electronic Cash Balance",
    0x9F7B: "Electronic Cash Terminal Transaction Limit",
}
_COMPRESSED_NUMERIC = {
    0x5A: "Application PAN",
    0x9F20: "Track 2 Discretionary Data",
}
_TEXT = {
    0x50: "Application Label",
    0x56: "Track 1 Data",
    0x5F20: "Cardholder Name",
    0x5F2D: "Language Preference",
    0x8A: "Authorisation Response Code",
    0x9F0B: "Cardholder Name Extended",
    0x9F12: "Application Preferred Name",
    0x9F16: "Merchant Identifier",
    0x9F1C: "Terminal Identification",
    0x9F1E: "Interface Device Serial Number",
    0x9F1F: "Track 1 Discretionary Data",
    0x9F4E: "Merchant Name and Location",
}
_BINARY = {
    0x4F: "Application Identifier (ADF Name)",
    0x57: "Track 2 Equivalent Data",
    0x61: "Application Template",
    0x6F: "FCI Template",
    0x70: "READ RECORD Response Template",
    0x71: "Issuer Script Template 1",
    0x72: "Issuer Script Template 2",
    0x73: "Directory Discretionary Template",
    0x77: "Response Message Template Format 2",
    0x80: "Response Message Template Format 1",
    0x82: "Application Interchange Profile",
    0x83: "Command Template",
    0x84: "Dedicated File Name",
    0x86: "Issuer Script Command",
    0x87: "Application Priority Indicator",
    0x88: "Short File Identifier",
    0x89: "Authorisation Code",
    0x8C: "CDOL1",
    0x8D: "CDOL2",
    0x8E: "CVM List",
    0x8F: "CA Public Key Index",
    0x90: "Issuer Public Key Certificate",
    0x91: "Issuer Authentication Data",
    0x92: "Issuer Public Key Remainder",
    0x93: "Signed Static Application Data",
    0x94: "Application File Locator",
    0x95: "Terminal Verification Results",
    0x97: "TDOL",
    0x98: "Transaction Certificate Hash Value",
    0x99: "Transaction PIN Data",
    0x9B: "Transaction Status Information",
    0x9D: "Directory Definition File Name",
    0xA5: "FCI Proprietary Template",
    0xBF0C: "FCI Issuer Discretionary Data",
    0x5F50: "Issuer URL",
    0x5F53: "International Bank Account Number",
    0x5F54: "Bank Identifier Code",
    0x5F55: "Issuer Country Code (alpha2)",
    0x5F56: "Issuer Country Code (alpha3)",
    0x9F05: "Application Discretionary Data",
    0x9F06: "Application Identifier (terminal)",
    0x9F07: "Application Usage Control",
    0x9F08: "Application Version Number (card)",
    0x9F09: "Application Version Number (terminal)",
    0x9F0A: "Application Selection Registered Proprietary Data",
    0x9F0D: "Issuer Action Code - Default",
    0x9F0E: "Issuer Action Code - Denial",
    0x9F0F: "Issuer Action Code - Online",
    0x9F10: "Issuer Application Data",
    0x9F13: "Last Online ATC Register",
    0x9F14: "Lower Consecutive Offline Limit",
    0x9F17: "PIN Try Counter",
    0x9F18: "Issuer Script Identifier",
    0x9F1B: "Terminal Floor Limit",
    0x9F1D: "Terminal Risk Management Data",
    0x9F22: "CA Public Key Index (terminal)",
    0x9F23: "Upper Consecutive Offline Limit",
    0x9F24: "Payment Account Reference",
    0x9F26: "Application Cryptogram",
    0x9F27: "Cryptogram Information Data",
    0x9F29: "Extended Selection",
    0x9F2A: "Kernel Identifier",
    0x9F2D: "ICC PIN Encipherment Public Key Certificate",
    0x9F32: "Issuer Public Key Exponent",
    0x9F33: "Terminal Capabilities",
    0x9F34: "CVM Results",
    0x9F36: "Application Transaction Counter",
    0x9F37: "Unpredictable Number",
    0x9F38: "PDOL",
    0x9F40: "Additional Terminal Capabilities",
    0x9F45: "Data Authentication Code",
    0x9F46: "ICC Public Key Certificate",
    0x9F47: "ICC Public Key Exponent",
    0x9F48: "ICC Public Key Remainder",
    0x9F49: "DDOL",
    0x9F4A: "Static Data Authentication Tag List",
    0x9F4B: "Signed Dynamic Application Data",
    0x9F4C: "ICC Dynamic Number",
    0x9F4D: "Log Entry",
    0x9F4F: "Log Format",
    0x9F50: "Offline Accumulator Balance",
    0x9F52: "Application Default Action",
    0x9F53: "Consecutive Transaction Limit (International)",
    0x9F56: "Issuer Authentication Indicator",
    0x9F57: "Issuer Country Code (UnionPay)",
    0x9F58: "Consecutive Transaction Limit",
    0x9F5A: "Application Program Identifier",
    0x9F5B: "Issuer Script Results",
    0x9F5C: "Cumulative Total Transaction Amount Upper Limit",
    0x9F61: "CVC3 (Track 2)",
    0x9F60: "CVC3 (Track 1)",
    0x9F62: "PCVC3 (Track 1)",
    0x9F63: "Card Product Identification Information",
    0x9F64: "NATC (Track 1)",
    0x9F65: "PCVC3 (Track 2)",
    0x9F66: "Terminal Transaction Qualifiers",
    0x9F67: "NATC (Track 2)",
    0x9F68: "Card Additional Processes",
    0x9F69: "Card Authentication Related Data",
    0x9F6A: "Unpredictable Number (Numeric)",
    0x9F6B: "Track 2 Data",
    0x9F6C: "Card Transaction Qualifiers",
    0x9F6E: "Form Factor Indicator",
    0x9F72: "Consecutive Transaction Limit (International Country)",
    0x9F74: "Electronic Cash Issuer Authorisation Code",
    0x9F75: "Cumulative Total Transaction Amount Limit (Dual Currency)",
    0x9F76: "Second Application Currency Code",
    0x9F7A: "Electronic Cash Terminal Support Indicator",
    0x9F7C: "Merchant Custom Data",
    0xDF60: "CAPP Transaction Indicator",
    0xDF69: "SM Algorithm Support Indicator",
}

DATA_ELEMENTS: dict[int, DataElement] = {
    **{tag: DataElement(name, Format.NUMERIC) for tag, name in _NUMERIC.items()},
    **{tag: DataElement(name, Format.COMPRESSED_NUMERIC) for tag, name in _COMPRESSED_NUMERIC.items()},
    **{tag: DataElement(name, Format.TEXT) for tag, name in _TEXT.items()},
    **{tag: DataElement(name) for tag, name in _BINARY.items()},
}


def format_of(tag: int) -> Format:
    """The format of a tag; binary when it is not in the dictionary."""
    element = DATA_ELEMENTS.get(tag)
    return element.format if element else Format.BINARY


def name_of(tag: int) -> str:
    """The name of a tag, empty when it is not in the dictionary."""
    element = DATA_ELEMENTS.get(tag)
    return element.name if element else ""
