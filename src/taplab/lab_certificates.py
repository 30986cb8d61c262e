"""Certificates for the lab's wire: one authority, the host's certificate and a terminal's.

Comes in: a directory. Goes out: PEM files in it.
Strategy: EC P-256, made together and kept. The authority's private key signs these two and is forgotten, so nobody can
add a third to a lab that stands.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taplab.secret_file import write_secret

VALID_DAYS = 3650
VALID_BEFORE_DAYS = 1  # clocks of terminals lag
HOST_NAME = "localhost"
HOST_ADDRESS = "127.0.0.1"


_Extension = tuple[x509.ExtensionType, bool]  # the extension, and whether it is critical

_AUTHORITY: _Extension = (x509.BasicConstraints(ca=True, path_length=0), True)
_END_ENTITY: _Extension = (x509.BasicConstraints(ca=False, path_length=None), True)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


_AUTHORITY_USES: list[_Extension] = [(_key_usage(signs_certificates=True), True)]
_HOST_USES: list[_Extension] = [
    (_key_usage(signs_certificates=False), True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    (
        x509.SubjectAlternativeName([x509.DNSName(HOST_NAME), x509.IPAddress(ipaddress.ip_address(HOST_ADDRESS))]),
        False,
    ),
]
_TERMINAL_USES: list[_Extension] = [
    (_key_usage(signs_certificates=False), True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the PEM files are. Both sides believe `authority`."""

    authority: Path
    host: Path
    host_key: Path
    terminal: Path
    terminal_key: Path

    @classmethod
    def of(cls, directory: Path) -> CertificateFiles:
        names = ("ca.pem", "host.pem", "host.key", "terminal.pem", "terminal.key")
        return cls(*(directory / name for name in names))

    def all(self) -> tuple[Path, ...]:
        return (self.authority, self.host, self.host_key, self.terminal, self.terminal_key)

    def complete(self) -> bool:
        return all(path.is_file() for path in self.all())


def make_certificates(files: CertificateFiles, terminal_id: str) -> None:
    """New ones, whatever stood there. Broken off, it leaves a set that is not complete."""
    for path in files.all():
        path.unlink(missing_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("TapTill lab authority")
    authority = _certificate(issuer, issuer, authority_key, authority_key, [_AUTHORITY, *_AUTHORITY_USES])
    write_secret(files.authority, _pem(authority))
    for path, key_path, name, uses in (
        (files.host, files.host_key, HOST_NAME, _HOST_USES),
        (files.terminal, files.terminal_key, terminal_id, _TERMINAL_USES),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        write_secret(path, _pem(_certificate(_name(name), issuer, key, authority_key, [_END_ENTITY, *uses])))
        write_secret(key_path, _key_pem(key))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extensions: list[_Extension],
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=VALID_BEFORE_DAYS))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
