"""A key store in a file, with test keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from taptill.credential.adapters.file_keystore import FileKeyStore, write_keystore
from taptill.credential.dukpt import derive_initial_key

KEY_SET_ID = bytes.fromhex("1234567890123456")
BDK = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")


@pytest.fixture
def bdk() -> bytes:
    return BDK


@pytest.fixture
def keystore_path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    write_keystore(path, KEY_SET_ID, derive_initial_key(BDK, KEY_SET_ID), bytes(range(32)))
    return path


@pytest.fixture
def keys(keystore_path: Path) -> FileKeyStore:
    return FileKeyStore(keystore_path)
