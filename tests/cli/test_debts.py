"""`taptill why`, `send-now`, `dispose` and `operator-key`, with a terminal that listens and without one."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.cli.conftest import Taptill
from tests.ecr.counter import CounterWithApi
from tests.terminal.parked import LI, WANG, parked_advice, parked_reversal, parked_sale
from tests.terminal.shop import CONFIG, good_host, tapped

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.errors import ConfigError
from taptill.journal import entries as e
from taptill.terminal.config import load_config


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[CounterWithApi]:
    with CounterWithApi(tmp_path) as counter:
        yield counter


def config_file(directory: Path, listen: str = "127.0.0.1:0") -> str:
    """What the shop's terminal would have been started with."""
    path = directory / "terminal.toml"
    path.write_text(
        f"""
journal = "journal.sqlite"
readers = ["pcsc:story"]
keystore = "file:keys.json"
ecr_listen = "{listen}"
[identity]
terminal_id = "{CONFIG.identity.terminal_id}"
merchant_id = "{CONFIG.identity.merchant_id}"
merchant_name = "Story shop"
[host]
endpoints = ["tls://x:1"]
server_name = "x"
ca = ""
certificate = ""
key = ""
[[operators]]
name = "li"
key = "{LI.public_key().public_bytes_raw().hex()}"
""",
        encoding="utf-8",
    )
    return str(path)


@pytest.fixture
def config(counter: CounterWithApi, tmp_path: Path) -> str:
    return config_file(tmp_path, counter.url.removeprefix("http://"))


def key_file(directory: Path, key: object = LI) -> str:
    path = directory / "operator.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]
    return str(path)


def dispose(taptill: Taptill, config: str, key: str, target: str, decision: str, reason: str = "case 4711") -> str:
    """What it printed, wherever."""
    done = taptill("dispose", "--config", config, target, "--decision", decision, "--reason", reason, "--key", key)
    assert (done.status == 0) == (done.err == "")
    return done.out + done.err


def test_an_operators_key_is_for_its_owner_alone_and_its_public_half_fits_the_config(
    taptill: Taptill, tmp_path: Path
) -> None:
    path = tmp_path / "wang.pem"
    done = taptill("operator-key", str(path))
    assert done.status == 0, done.err
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.out)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    config = Path(config_file(tmp_path))
    config.write_text(config.read_text() + f'[[operators]]\nname = "wang"\nkey = "{done.out.strip()}"\n')
    assert [operator.name for operator in load_config(config).operators] == ["li", "wang"]
    again = taptill("operator-key", str(path))
    assert again.status == 2
    assert "wang.pem" in again.err
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize(
    ("operator", "named"),
    [
        (f'name = "li"\nkey = "{"ab" * 32}"', "two operators have one name"),
        ('name = "wang"\nkey = "64 hex digits"', "key"),
        (f'name = "wang"\nkey = "{"ab" * 31}"', "key"),
        (f'name = ""\nkey = "{"ab" * 32}"', "name"),
        (f'name = "{"w" * 21}"\nkey = "{"ab" * 32}"', "name"),
        ('name = "wang"', "key"),
    ],
)
def test_an_operator_without_a_name_or_a_key_of_its_own_is_no_config(tmp_path: Path, operator: str, named: str) -> None:
    config = Path(config_file(tmp_path))
    config.write_text(f"{config.read_text()}[[operators]]\n{operator}\n")
    with pytest.raises(ConfigError, match=named):
        load_config(config)


def test_a_parked_sale_is_decided_from_the_command_line_once(
    taptill: Taptill, counter: CounterWithApi, config: str, tmp_path: Path
) -> None:
    ref = parked_sale(counter.shop)
    key = key_file(tmp_path)
    assert f"signed by li. {ref} is approved." in dispose(taptill, config, key, f"{ref}/1", "paid")
    assert counter.shop.state(ref) == "approved"
    (entry,) = [record.entry for record in counter.shop.journal.records() if isinstance(record.entry, e.Disposed)]
    assert entry.reason == "case 4711"
    assert "nothing here waits for an operator" in dispose(taptill, config, key, f"{ref}/1", "not paid")
    story = taptill("explain", ref, "--journal", str(tmp_path / "journal.sqlite"))
    assert f"Operator li signed that {ref}/1 was paid: case 4711." in story.out


def test_a_parked_debt_is_sent_again_from_the_command_line(
    taptill: Taptill, counter: CounterWithApi, config: str, tmp_path: Path
) -> None:
    ref = parked_reversal(counter.shop)
    counter.shop.host = good_host
    assert f"{ref} is reversed." in dispose(taptill, config, key_file(tmp_path), f"{ref}/1/reversal", "send again")


def test_the_terminals_refusal_is_told_in_its_words(
    taptill: Taptill, counter: CounterWithApi, config: str, tmp_path: Path
) -> None:
    ref = parked_sale(counter.shop)
    told = dispose(taptill, config, key_file(tmp_path), f"{ref}/1", "settled")
    assert "error 7005" in told
    assert "this cannot be decided so [decision-impossible]" in told
    assert "a transaction: paid, not paid" in told
    told = dispose(taptill, config, key_file(tmp_path), f"{ref}/1", "paid", reason="card 6228000100001117")
    assert "[reason-holds-a-card-number]" in told
    assert "6228000100001117" not in told
    assert counter.shop.state(ref) == "parked"


def test_a_key_that_the_config_does_not_name_signs_nothing(
    taptill: Taptill, counter: CounterWithApi, config: str, tmp_path: Path
) -> None:
    ref = parked_sale(counter.shop)
    told = dispose(taptill, config, key_file(tmp_path, WANG), f"{ref}/1", "paid")
    assert "this operator is not known here" in told
    assert WANG.public_key().public_bytes_raw().hex() in told
    assert counter.shop.state(ref) == "parked"


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "rsa", None])
def test_a_file_that_is_no_operators_key_is_named(taptill: Taptill, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "operator.pem"
    if content == "rsa":
        key_file(tmp_path, generate_private_key(65537, 1024))
    elif content is not None:
        path.write_text(content)
    told = dispose(taptill, config_file(tmp_path), str(path), "P1/1", "paid")
    assert "operator.pem" in told
    assert "taptill operator-key" in told


def test_why_tells_what_everything_waits_for(taptill: Taptill, counter: CounterWithApi, config: str) -> None:
    assert taptill("why", "--config", config).out == "Nothing is owed.\n"
    shop = counter.shop
    ref = parked_advice(shop, OutcomeKind.APPROVED, CryptogramType.TC)
    shop.lose_host()
    shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    done = taptill("why", "--config", config)
    assert done.status == 0, done.err
    assert f"{ref}/1/advice (offline_advice), parked, owed for" in done.out
    assert f"taptill dispose {ref}/1/advice" in done.out
    assert "the bank has been unreachable for" in done.out
    assert "无法连接银行" in done.out
    one = taptill("why", "--config", config, ref)
    assert one.out.startswith(f"{ref} is approved_offline.")
    assert "refused it with code 30" in one.out


def test_why_of_a_payment_that_is_not_there_says_so(taptill: Taptill, config: str) -> None:
    done = taptill("why", "--config", config, "no-such")
    assert done.status == 2
    assert "no payment no-such" in done.err


def test_send_now_from_the_command_line_delivers(taptill: Taptill, counter: CounterWithApi, config: str) -> None:
    shop = counter.shop
    shop.lose_host()
    shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    shop.pass_time(600_000)
    shop.host = good_host
    done = taptill("send-now", "--config", config)
    assert done.status == 0, done.err
    shop.pass_time(1)
    assert shop.journal.open_debts() == []
    assert taptill("send-now", "--config", config).out.endswith("Nothing is owed.\n")


def test_without_a_terminal_why_asks_the_journal(taptill: Taptill, tmp_path: Path) -> None:
    with CounterWithApi(tmp_path) as counter:
        parked, ended = parked_sale(counter.shop), ""
        counter.shop.host = good_host
        ended = counter.shop.sell()
    config = config_file(tmp_path, "127.0.0.1:9")
    done = taptill("why", "--config", config)
    assert done.status == 0, done.err
    assert "No running terminal was asked" in done.out
    assert f"{parked} is parked." in done.out
    assert "only the operator can decide it" in done.out
    assert ended not in done.out
    assert "Nothing is open and nothing is owed." in taptill("why", "--config", config, ended).out
    assert taptill("why", "--config", config, "no-such").status == 2


@pytest.mark.parametrize("verb", [["send-now"], ["dispose", "P1/1", "--decision", "paid", "--reason", "x"]])
def test_without_a_terminal_nothing_is_sent_or_decided(taptill: Taptill, tmp_path: Path, verb: list[str]) -> None:
    with CounterWithApi(tmp_path) as counter:
        ref = parked_sale(counter.shop)
    key = ["--key", key_file(tmp_path)] if verb[0] == "dispose" else []
    arguments = [each.replace("P1", ref) for each in verb]
    done = taptill(*arguments, *key, "--config", config_file(tmp_path, "127.0.0.1:9"))
    assert done.status == 2
    assert "no terminal answers" in done.err
    unnamed = taptill(*arguments, *key, "--config", config_file(tmp_path))
    assert unnamed.status == 2
    assert "--url" in unnamed.err


def test_the_address_on_the_command_line_wins(taptill: Taptill, counter: CounterWithApi, tmp_path: Path) -> None:
    config = config_file(tmp_path, "127.0.0.1:9")
    assert taptill("why", "--config", config, "--url", counter.url).out == "Nothing is owed.\n"
