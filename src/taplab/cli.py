"""The command `taplab`."""


def main() -> int:
    raise SystemExit("taplab: nothing to serve yet")
