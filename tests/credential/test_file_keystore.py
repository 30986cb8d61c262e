"""A key store on a real file system: modes, marks, syncs, and MACs checked by openssl's own rules."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taptill.credential.adapters.file_keystore import RESERVED_BLOCK_COUNTERS, FileKeyStore, write_keystore
from taptill.credential.dukpt import KeyUsage, derive_working_key
from taptill.credential.keystore import KeyStoreError

if TYPE_CHECKING:
    from tests.conftest import SmallDisk


def test_the_store_and_its_mark_are_readable_by_the_owner_alone(keystore_path: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in keystore_path.parent.iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o660])
def test_a_file_that_lets_others_in_is_refused(keystore_path: Path, mode: int) -> None:
    keystore_path.chmod(mode)
    with pytest.raises(KeyStoreError, match="lets others in"):
        FileKeyStore(keystore_path)


def test_a_store_is_never_overwritten(keystore_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="already"):
        write_keystore(keystore_path, bytes(8), bytes(16), bytes(32))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"key_set_id":"zz","initial_key":"","token_key":""}'])
def test_a_file_that_is_no_store_is_refused_without_its_content(keystore_path: Path, content: bytes) -> None:
    keystore_path.write_bytes(content)
    with pytest.raises(KeyStoreError) as refusal:
        FileKeyStore(keystore_path)
    assert refusal.value.__cause__ is None


def test_a_store_without_its_mark_is_refused(keystore_path: Path) -> None:
    keystore_path.with_name(keystore_path.name + ".mark").unlink()
    with pytest.raises(KeyStoreError, match="mark of used counters is missing"):
        FileKeyStore(keystore_path)


def test_a_terminal_that_starts_again_and_again_on_a_full_disk_has_keys(small_disk: SmallDisk) -> None:
    """What is owed must be able to leave: every start takes a block of keys, and its mark needs room."""
    path = small_disk.folder / "keystore.json"
    write_keystore(path, bytes(8), bytes(16), bytes(32))
    for _ in range(3):
        small_disk.fill()
        keys = FileKeyStore(path)
        first = keys.counter_floor()
        keys.reserve(first)
        keys.reserve(first + RESERVED_BLOCK_COUNTERS)
        assert FileKeyStore(path).counter_floor() == first + 2 * RESERVED_BLOCK_COUNTERS


def test_an_unreserved_counter_makes_no_mac_and_no_envelope(keys: FileKeyStore) -> None:
    with pytest.raises(KeyStoreError, match="not reserved"):
        keys.request_mac(1, b"message")
    with pytest.raises(KeyStoreError, match="not reserved"):
        keys.seal(1, bytes(12), b"", b"")


def test_the_mark_is_on_the_disk_before_the_first_use_of_a_block(keystore_path: Path) -> None:
    keys = FileKeyStore(keystore_path)
    keys.reserve(1)
    assert FileKeyStore(keystore_path).counter_floor() == 1 + RESERVED_BLOCK_COUNTERS


def test_within_a_block_the_mark_stays_and_the_floor_too(keystore_path: Path) -> None:
    keys = FileKeyStore(keystore_path)
    keys.reserve(1)
    mark = keystore_path.with_name(keystore_path.name + ".mark")
    written_at = mark.stat().st_mtime_ns
    keys.reserve(2)
    keys.reserve(RESERVED_BLOCK_COUNTERS)
    assert mark.stat().st_mtime_ns == written_at
    assert keys.counter_floor() == 1


def test_after_a_restart_no_counter_of_the_old_block_is_used_again(keystore_path: Path) -> None:
    """A restored journal would hand out 2 again; the store does not."""
    FileKeyStore(keystore_path).reserve(1)
    reopened = FileKeyStore(keystore_path)
    with pytest.raises(KeyStoreError, match="below the mark"):
        reopened.reserve(2)
    reopened.reserve(reopened.counter_floor())


def test_the_answer_to_an_older_message_can_still_be_checked(keystore_path: Path) -> None:
    FileKeyStore(keystore_path).reserve(1)
    assert len(FileKeyStore(keystore_path).response_mac(1, b"answer")) == 8


def test_requests_and_answers_have_different_macs(keys: FileKeyStore) -> None:
    keys.reserve(1)
    assert keys.request_mac(1, b"message") != keys.response_mac(1, b"message")


def test_the_mac_is_the_cmac_openssl_makes(keys: FileKeyStore, keystore_path: Path) -> None:
    """The other implementation is the openssl program, asked for a whole AES-CMAC."""
    keys.reserve(9)
    initial = bytes.fromhex("1273671EA26AC29AFA4D1084127652A1")  # X9.24-3 supplement, for the test BDK
    key = derive_working_key(initial, keys.key_set_id(), 9, KeyUsage.MAC_GENERATION)
    command = ["openssl", "mac", "-cipher", "AES-128-CBC", "-macopt", f"hexkey:{key.hex()}", "-in", "-", "CMAC"]
    foreign = subprocess.run(command, input=b"a message", capture_output=True, check=True, timeout=10).stdout
    assert keys.request_mac(9, b"a message").hex().upper() == foreign.decode().strip()[:16]


def test_a_mark_that_cannot_be_written_reserves_nothing(keystore_path: Path) -> None:
    """The draft's name is taken by a directory, as on a full or read-only disk nothing can be written."""
    keys = FileKeyStore(keystore_path)
    draft = keystore_path.with_name(keystore_path.name + ".mark.new")
    draft.unlink()
    draft.mkdir()
    with pytest.raises(KeyStoreError, match="cannot be written"):
        keys.reserve(1)
    with pytest.raises(KeyStoreError, match="not reserved"):
        keys.request_mac(1, b"")


def test_file_then_rename_then_directory_are_synced(keystore_path: Path, tmp_path: Path) -> None:
    """Seen from outside the process: fsync of the draft, rename, fsync of the folder, in this order; then the room for
    the next mark."""
    trace = tmp_path / "trace"
    script = (
        "import sys; from pathlib import Path;"
        "from taptill.credential.adapters.file_keystore import FileKeyStore;"
        "FileKeyStore(Path(sys.argv[1])).reserve(1)"
    )
    calls = "trace=fsync,rename,renameat,renameat2"
    subprocess.run(
        ["strace", "-f", "-y", "-e", calls, "-o", str(trace), sys.executable, "-c", script, str(keystore_path)],
        check=True,
        timeout=60,
        env=os.environ,
    )
    lines = [line for line in trace.read_text().splitlines() if str(keystore_path.parent) in line]
    assert [line.split()[1].partition("(")[0].rstrip("2") for line in lines] == ["fsync", "rename", "fsync", "fsync"]
    assert ".mark.new" in lines[0]


def test_closing_zeroes_the_keys(keys: FileKeyStore) -> None:
    before = keys.tokenize(b"6228000100001117")
    keys.close()
    assert keys.tokenize(b"6228000100001117") != before


def test_a_nonce_of_another_length_is_refused(keys: FileKeyStore) -> None:
    keys.reserve(1)
    with pytest.raises(KeyStoreError, match="12 bytes, not 16"):
        keys.seal(1, bytes(16), b"", b"")


def test_wrong_key_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="8, 16 and 32"):
        write_keystore(tmp_path / "keys.json", bytes(8), bytes(32), bytes(32))


def test_the_repr_shows_no_key(keys: FileKeyStore) -> None:
    assert "1273671" not in repr(keys).lower()
