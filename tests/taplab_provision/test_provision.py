"""A provisioned lab, judged by those who have to use it: a TLS handshake, the key store, the host's and terminal's
readers of configuration, and the CA keys' checksum."""

from __future__ import annotations

import shutil
import socket
import ssl
import stat
import subprocess
import threading
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from taphost.config import load_config as load_host_config
from taplab.card import Scheme, packaged_cards
from taplab.lab_certificates import CertificateFiles, make_certificates
from taplab.provision import KEY_SET_ID, TERMINAL_ID, LabFiles, LabSecretsError, provision, terminal_config
from taptill.card.proof.ca_keys import parse_ca_keys
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.credential.dukpt import KeyUsage, derive_initial_key, derive_working_key
from taptill.terminal.config import load_config as load_terminal_config

WAIT_S = 10.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> LabFiles:
    return provision(tmp_path_factory.mktemp("lab"))


@dataclass
class Handshake:
    """What became of one: the certificate the host was shown, or what each side says against the other."""

    shown: x509.Certificate | None = None
    host_says: OSError | None = None
    terminal_says: OSError | None = None


def shake_hands(host: ssl.SSLContext, terminal: ssl.SSLContext, name: str) -> Handshake:
    """A handshake, and a byte each way: in TLS 1.3 a terminal learns only then that it was refused."""
    ours, theirs = socket.socketpair()
    result = Handshake()

    def serve() -> None:
        theirs.settimeout(WAIT_S)
        try:
            with theirs, host.wrap_socket(theirs, server_side=True) as stream:
                result.shown = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True) or b"")
                stream.sendall(stream.recv(1))
        except OSError as error:
            result.host_says = error

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ours.settimeout(WAIT_S)
    try:
        with ours, terminal.wrap_socket(ours, server_hostname=name) as stream:
            stream.sendall(b"?")
            assert stream.recv(1) in (b"?", b"")
    except OSError as error:
        result.terminal_says = error
    thread.join(WAIT_S)
    return result


def host_side(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.host, files.host_key)
    return context


def terminal_side(files: CertificateFiles, *, shows_certificate: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.authority)
    if shows_certificate:
        context.load_cert_chain(files.terminal, files.terminal_key)
    return context


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_host_and_terminal_believe_each_other(lab: LabFiles, name: str) -> None:
    done = shake_hands(host_side(lab.certificates), terminal_side(lab.certificates), name)
    assert (done.host_says, done.terminal_says) == (None, None)
    assert done.shown is not None
    assert done.shown.subject.rfc4514_string() == f"CN={TERMINAL_ID}"


def test_a_terminal_without_a_certificate_is_turned_away(lab: LabFiles) -> None:
    nameless = terminal_side(lab.certificates, shows_certificate=False)
    done = shake_hands(host_side(lab.certificates), nameless, "localhost")
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in str(done.host_says)


def test_a_terminal_of_another_lab_is_turned_away(lab: LabFiles, tmp_path: Path) -> None:
    other = CertificateFiles.of(tmp_path)
    make_certificates(other, TERMINAL_ID)
    stranger = ssl.create_default_context(cafile=lab.certificates.authority)
    stranger.load_cert_chain(other.terminal, other.terminal_key)
    done = shake_hands(host_side(lab.certificates), stranger, "localhost")
    assert isinstance(done.host_says, ssl.SSLCertVerificationError)


def test_the_host_of_another_lab_is_not_believed(lab: LabFiles, tmp_path: Path) -> None:
    other = CertificateFiles.of(tmp_path)
    make_certificates(other, TERMINAL_ID)
    done = shake_hands(host_side(other), terminal_side(lab.certificates), "localhost")
    assert isinstance(done.terminal_says, ssl.SSLCertVerificationError)


def test_the_terminals_certificate_is_no_hosts(lab: LabFiles) -> None:
    impostor = host_side(lab.certificates)
    impostor.load_cert_chain(lab.certificates.terminal, lab.certificates.terminal_key)
    done = shake_hands(impostor, terminal_side(lab.certificates), "localhost")
    assert isinstance(done.terminal_says, ssl.SSLCertVerificationError)


def test_openssl_finds_the_certificates_strictly_right(lab: LabFiles) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None
    certificates = lab.certificates
    command = [openssl, "verify", "-x509_strict", "-purpose", "{}", "-CAfile", str(certificates.authority)]
    for purpose, path in (("sslserver", certificates.host), ("sslclient", certificates.terminal)):
        verify = [part.format(purpose) for part in command] + [str(path)]
        done = subprocess.run(verify, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert done.returncode == 0, done.stderr


def test_the_key_store_holds_what_the_hosts_base_key_gives_this_terminal(lab: LabFiles) -> None:
    bdk = bytes.fromhex(load_host_config(lab.host_config).bdk)
    key = derive_working_key(derive_initial_key(bdk, KEY_SET_ID), KEY_SET_ID, 1, KeyUsage.MAC_VERIFICATION)
    store = FileKeyStore(lab.keystore)
    assert store.key_set_id() == KEY_SET_ID
    mac = CMAC(AES(key))
    mac.update(b"answer")
    assert store.response_mac(1, b"answer") == mac.finalize()[:8]


def test_the_host_reads_its_configuration(lab: LabFiles) -> None:
    config = load_host_config(lab.host_config)
    assert [(terminal.id, terminal.key_set) for terminal in config.terminals] == [(TERMINAL_ID, KEY_SET_ID.hex())]
    assert config.tls is not None
    assert Path(config.tls.certificate) == lab.certificates.host
    assert Path(config.tls.client_ca) == lab.certificates.authority


def test_every_card_of_the_lab_has_an_account_under_the_labs_issuer(lab: LabFiles) -> None:
    config = load_host_config(lab.host_config)
    assert {issuer.key for issuer in config.issuers} == {Scheme.load(lab.scheme).issuer_key.hex()}
    assert len(config.accounts) == len(packaged_cards())
    prefixes = tuple(issuer.prefix for issuer in config.issuers)
    assert all(account.pan.startswith(prefixes) for account in config.accounts)
    credit = {account.note: account.credit_minor for account in config.accounts}
    assert credit["Low limit"] < credit["Good credit"]
    assert {account.note for account in config.accounts if account.blocked} == {"Blocked"}
    assert {account.expiry for account in config.accounts if account.note == "Expired"} == {"2206"}


def test_the_terminal_gets_the_labs_ca_key_as_a_test_key_of_each_scheme(lab: LabFiles) -> None:
    keys = parse_ca_keys(lab.ca_keys.read_text(encoding="utf-8"))
    assert {key.rid.hex() for key in keys} == {"a000000333", "a000000003", "a000000004"}
    assert all(key.test for key in keys)
    assert {key.modulus for key in keys} == {Scheme.load(lab.scheme).authority.modulus}


def test_the_terminal_reads_its_configuration(lab: LabFiles) -> None:
    lab.terminal_config.write_text(
        terminal_config(
            lab,
            readers=["pn532:/dev/pts/7", 'pcsc:Virtual "PCD" 00'],
            printer="escpos+tcp://127.0.0.1:9100",
            endpoints=["tls://127.0.0.1:9443"],
            ecr_listen="127.0.0.1:8080",
        ),
        encoding="utf-8",
    )
    config = load_terminal_config(lab.terminal_config)
    assert config.identity.terminal_id == TERMINAL_ID
    assert config.readers == ["pn532:/dev/pts/7", 'pcsc:Virtual "PCD" 00']
    assert config.ecr_listen == "127.0.0.1:8080"
    named = [config.host.ca, config.host.certificate, config.host.key, *config.ca_keys]
    assert all((lab.directory / name).is_file() for name in [*named, config.keystore.partition(":")[2]])


def test_provisioning_again_keeps_every_secret(lab: LabFiles) -> None:
    before = {path: path.read_bytes() for path in lab.directory.iterdir()}
    assert provision(lab.directory) == lab
    assert {path: path.read_bytes() for path in lab.directory.iterdir()} == before


def test_what_was_lost_is_made_again_and_the_rest_kept(tmp_path: Path) -> None:
    files = provision(tmp_path)
    keys = files.keystore.read_bytes()
    old_host_key = files.certificates.host_key.read_bytes()
    files.certificates.host.unlink()
    files.host_config.unlink()
    provision(tmp_path)
    assert files.keystore.read_bytes() == keys
    assert files.certificates.host_key.read_bytes() != old_host_key
    done = shake_hands(host_side(files.certificates), terminal_side(files.certificates), "localhost")
    assert (done.host_says, done.terminal_says) == (None, None)
    assert load_host_config(files.host_config).terminals


def test_a_broken_file_of_secrets_is_refused_and_not_replaced(tmp_path: Path) -> None:
    files = provision(tmp_path)
    files.secrets.write_text("{}", encoding="utf-8")
    with pytest.raises(LabSecretsError, match="holds no secrets of a lab"):
        provision(tmp_path)
    assert files.secrets.read_text(encoding="utf-8") == "{}"


def test_only_the_owner_reads_what_was_made(lab: LabFiles) -> None:
    made = [path for path in lab.directory.iterdir() if path != lab.terminal_config]
    assert made
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}


def test_no_two_labs_share_a_key(lab: LabFiles, tmp_path: Path) -> None:
    other = provision(tmp_path)
    for name in ("secrets", "scheme", "keystore", "ca_keys"):
        assert getattr(lab, name).read_bytes() != getattr(other, name).read_bytes()
    assert {field.name for field in fields(lab)} == {field.name for field in fields(other)}
