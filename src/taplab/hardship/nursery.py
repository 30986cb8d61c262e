"""A process that has imported a program once and forks it as often as asked.

Comes in: module, log and arguments on the command line; the order `start` on standard input. Goes out, as JSON lines:
the pid of each start, whatever the program itself prints, and that it has ended.
Strategy: importing takes ten times as long as everything else a start does, and two hundred kills have to fit into a
test. What runs after the fork is the program's own `main`; it dies with this process.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import selectors
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

# What the programs import only when they need it.
LATER = {
    "taptill.cli": (
        "taptill.terminal.wiring",
        "taptill.ui.ecr.app",
        "taptill.ui.serve",
        "taptill.host.adapters.tls",
        "taptill.card.adapters.pn532",
        "taptill.credential.adapters.file_keystore",
        "taptill.receipt.adapters.escpos_tcp",
        "uvicorn.protocols.http.h11_impl",
        "uvicorn.lifespan.on",
    ),
    "taphost.cli": ("taphost.server", "sqlalchemy.dialects.sqlite"),
}
PR_SET_PDEATHSIG = 1  # prctl(2)
ORDER = b"start\n"


def main() -> None:
    """Ends when standard input does, and takes the program with it."""
    module, log, *arguments = sys.argv[1:]
    for name in (module, *LATER.get(module, ())):
        import_module(name)
    gc.freeze()
    child, ending = 0, -1
    with selectors.DefaultSelector() as waiting:
        waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in waiting.select()}
            if ending in ready:
                os.waitpid(child, 0)
                waiting.unregister(ending)
                os.close(ending)
                _say(ended=child)
                child, ending = 0, -1
            if sys.stdin.fileno() in ready:
                if not os.read(sys.stdin.fileno(), len(ORDER)):
                    break
                child = os.fork()
                if child == 0:
                    _become(module, Path(log), arguments)
                ending = os.pidfd_open(child)
                waiting.register(ending, selectors.EVENT_READ)
                _say(pid=child)
    if child:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _say(**what: int) -> None:
    """On a line of its own, even where the program was killed in the middle of one."""
    os.write(sys.stdout.fileno(), b"\n" + json.dumps(what).encode() + b"\n")


def _become(module: str, log: Path, arguments: list[str]) -> None:
    """The forked half: the program, and nothing else ever."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, sys.stdin.fileno())
        words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(words, sys.stderr.fileno())
        status = import_module(module).main(arguments)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
