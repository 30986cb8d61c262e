"""Whether a second copy may go on following its journal.

Comes in: how far both reach, and a way to compare one entry of them. Goes out: level, behind, or a refusal with the
place. Strategy: every digest covers all entries before it, so where two chains agree on one entry they agree on all
earlier ones, and the place where they part is found by halving. A copy that knows more, or other things, than its
journal is worth more than the journal: it is never overwritten.
"""

from __future__ import annotations

from collections.abc import Callable

from taptill.journal.port import JournalError

KEEP = "keep it, look into both with: taptill journal verify; then name another place for the copy"


class CopyRefused(JournalError):
    """The copy cannot follow the journal, and is left as it is."""

    code = 4009


def entries_behind(journal_seq: int, copy_seq: int, same: Callable[[int], bool], where: str) -> int:
    """How many entries the copy lacks. `same` says whether both have the same entry under a number that both have.
    Raises CopyRefused for a copy with other entries, or with more of them."""
    parts = _first_difference(min(journal_seq, copy_seq), same)
    if parts is not None:
        raise CopyRefused(
            "from here on it holds other entries", where=f"{where}: journal entry {parts}", next_step=KEEP
        )
    if copy_seq > journal_seq:
        raise CopyRefused(
            f"it holds entries up to {copy_seq} that the journal lacks; was the journal restored from an older one?",
            where=f"{where}: journal entry {journal_seq + 1}",
            next_step=KEEP,
        )
    return journal_seq - copy_seq


def _first_difference(last: int, same: Callable[[int], bool]) -> int | None:
    if last == 0 or same(last):
        return None
    agreed, differs = 0, last
    while differs - agreed > 1:
        middle = (agreed + differs) // 2
        agreed, differs = (middle, differs) if same(middle) else (agreed, middle)
    return differs
