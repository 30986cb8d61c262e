"""The command `taptill`."""


def main() -> int:
    raise SystemExit("taptill: nothing to serve yet")
