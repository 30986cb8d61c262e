"""A file that is there whole or not at all, readable by its owner alone."""

from __future__ import annotations

import os
from pathlib import Path


def write_secret(path: Path, content: bytes | str) -> None:
    """Replaces an older file in one step. Raises OSError."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
    draft.replace(path)
