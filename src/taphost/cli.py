"""The command `taphost`."""


def main() -> int:
    raise SystemExit("taphost: nothing to serve yet")
