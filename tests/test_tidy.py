"""The laws of the tree that no linter knows, one test each.

Comes in: the files as they lie there. Goes out: for a broken law the list of places, as `file:line what`.
Strategy: imports and functions are read from the syntax tree, words from the text; an exception to a law is a line in
the table beside it, with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
TERMINAL = ROOT / "src" / "taptill"
OURS = ("src", "tests", "tools", "firmware", "hardware", ".ci")
NOT_OURS = {"node_modules", "__pycache__", "build", "dist"}
TEXT_SUFFIXES = {"", ".py", ".toml", ".txt", ".md", ".json", ".c", ".h", ".html", ".css", ".js", ".cjs", ".service"}

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

LONG_DATA_TABLES: set[str] = set()  # files that only list data, relative to src/

# What a stage may not import: it would touch the world, or take time or chance from elsewhere than its arguments.
WORLDLY = {
    "apsw", "asyncio", "concurrent", "escpos", "fcntl", "http", "httpx", "multiprocessing", "nfc", "os", "pathlib",
    "pty", "random", "secrets", "select", "selectors", "serial", "shutil", "signal", "smartcard", "socket", "sqlite3",
    "ssl", "starlette", "subprocess", "tempfile", "termios", "threading", "time", "urllib", "uuid", "uvicorn",
}  # fmt: skip
WORLDLY_CALLS = {"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
MAY_TOUCH_THE_WORLD = re.compile(
    r".*/adapters/.*|ui/.*|terminal/(loop|workers|\w+_worker|front|config|wiring)\.py|(clock|machine_time|entropy|cli)\.py"
)

MAY_NAME_ADAPTERS = {"terminal/wiring.py", "cli.py"}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base"}

TEST_CARD_NUMBERS = {"6228000100001117"}  # what src/ may spell out, in digits only
CARD_NUMBER = re.compile(r"(?<![0-9A-Za-z.])(?:\d{13,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,3})?)(?![0-9A-Za-z])")
MACHINE_PATH = re.compile(r"(?<![\w.}\])])/(?:home|root|Users|work|farm|tmp|mnt)/\w")
LEFT_OVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")  # XXX is ISO 4217 for "no currency"
NAMED_INDEX = re.compile(r"index-url|find-links|trusted-host|registry[ =:]|https?://", re.IGNORECASE)
PATCHING = {"mock", "unittest.mock", "pytest_mock"}
PATCHING_FIXTURES = {"monkeypatch", "mocker"}


def ours(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in NOT_OURS:
            yield from ours(path)
        elif path.is_file() and path.suffix in TEXT_SUFFIXES:
            yield path


def all_texts() -> Iterator[Path]:
    for name in OURS:
        if (ROOT / name).is_dir():
            yield from ours(ROOT / name)
    yield from (path for path in sorted(ROOT.iterdir()) if path.suffix in {".md", ".toml"})


def python_files(folder: Path) -> list[Path]:
    return [path for path in ours(folder) if path.suffix == ".py"]


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, line: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{line} {what}"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything a file imports; relative imports are spelled out."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = path.parent.relative_to(ROOT / "src").parts if path.is_relative_to(ROOT / "src") else ()
            above = home[: len(home) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def from_package(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def stage_files() -> list[Path]:
    every = python_files(TERMINAL)
    return [path for path in every if not MAY_TOUCH_THE_WORLD.fullmatch(path.relative_to(TERMINAL).as_posix())]


def lines_matching(pattern: re.Pattern[str], paths: Iterator[Path]) -> list[str]:
    return [
        place(path, number, line.strip())
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def passes_luhn(digits: str) -> bool:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def test_no_file_of_the_product_is_too_long_to_be_one_concept() -> None:
    long = [
        place(path, lines, "lines")
        for path in python_files(ROOT / "src")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX
        and path.relative_to(ROOT / "src").as_posix() not in LONG_DATA_TABLES
    ]
    assert long == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        place(path, node.lineno, f"{node.name} has {node.end_lineno - node.lineno + 1} lines")
        for folder in ("src", "tests", "tools")
        for path in python_files(ROOT / folder)
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_only_the_state_table_imports_transitions() -> None:
    importers = {
        path.relative_to(TERMINAL.parent).as_posix()
        for path in python_files(TERMINAL.parent)
        if any(from_package(name, {"transitions"}) for _, name in imports(path))
    }
    assert importers <= {"taptill/terminal/machine.py"}


def test_only_the_wiring_and_the_command_line_name_adapters() -> None:
    """An adapter may be made of several files of its own folder."""
    named = [
        place(path, line, name)
        for path in python_files(TERMINAL)
        if path.relative_to(TERMINAL).as_posix() not in MAY_NAME_ADAPTERS
        for line, name in imports(path)
        if ".adapters." in f"{name}." and not name.startswith(".".join(path.parent.relative_to(TERMINAL.parent).parts))
    ]
    assert named == []


def test_the_stages_import_nothing_that_touches_the_world() -> None:
    worldly = [
        place(path, line, name) for path in stage_files() for line, name in imports(path) if from_package(name, WORLDLY)
    ]
    assert worldly == []


def test_the_stages_open_no_files_print_nothing_and_ask_no_clock() -> None:
    calls = [
        place(path, node.lineno, called)
        for path in stage_files()
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in WORLDLY_CALLS
    ]
    assert calls == []


def test_every_module_of_the_product_opens_by_saying_what_it_is() -> None:
    silent = [
        place(path, 1, "no docstring") for path in python_files(ROOT / "src") if not ast.get_docstring(syntax(path))
    ]
    assert silent == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = [place(path, 1, path.stem) for path in python_files(ROOT / "src") if path.stem in EMPTY_NAMES]
    assert empty == []


def test_nothing_is_left_over_for_later() -> None:
    assert lines_matching(LEFT_OVER, all_texts()) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert lines_matching(MACHINE_PATH, all_texts()) == []


def test_the_tools_leave_the_choice_of_package_index_to_the_machine() -> None:
    tools = [*ours(ROOT / "tools"), *ours(ROOT / ".ci"), ROOT / "tests" / "judges" / "package.json"]
    assert lines_matching(NAMED_INDEX, iter(tools)) == []


def test_no_test_replaces_a_part_by_a_double() -> None:
    imported = [
        place(path, line, name)
        for path in python_files(ROOT / "tests")
        for line, name in imports(path)
        if from_package(name, PATCHING)
    ]
    asked_for = [
        place(path, node.lineno, node.arg)
        for path in python_files(ROOT / "tests")
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.arg) and node.arg in PATCHING_FIXTURES
    ]
    assert imported + asked_for == []


def test_no_card_number_stands_in_the_product() -> None:
    numbers = [
        place(path, number, "looks like a card number")
        for path in ours(ROOT / "src")
        if not path.is_relative_to(ROOT / "src" / "taplab")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for found in CARD_NUMBER.findall(line)
        if passes_luhn(digits := re.sub(r"\D", "", found)) and digits not in TEST_CARD_NUMBERS and int(digits)
    ]
    assert numbers == []


def test_the_licence_and_the_notice_of_foreign_licences_are_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert re.search(r"nfcpy.*EUPL-1\.1", (TERMINAL / "NOTICE").read_text(encoding="utf-8"), re.DOTALL)
