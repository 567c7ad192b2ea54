"""The commands `keys` and `receipt`: exit codes, one sentence for what can be mended, only the key needed."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monedero.proofs.note import VerifierKey
from monedero.proofs.receipt import verify_receipt
from tests.api.world import World
from tests.ledgers import EMBEDDED, POSTGRES, Ledgers
from tests.support import PROGRAM, Service

KEYS = "MONEDERO_SIGNING_KEY_FILE"


@pytest.fixture(scope="module")
def service(ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return the program serving a file, beside which it has made its key."""
    with Service(ledgers.new(EMBEDDED, tmp_path_factory.mktemp("file"))) as running:
        yield running


def receipt_file(service: Service, folder: Path) -> Path:
    """Return a file with a receipt for a deposit of 19.9."""
    with service.client() as client:
        place = World(client).deposit("19.90").headers["location"]
        path = folder / "receipt.json"
        path.write_bytes(client.get(f"{place}/receipt").content)
    return path


def verify(file: str, key: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Check a receipt where there is no ledger and no setting."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MONEDERO_")}
    return subprocess.run(
        [PROGRAM, "receipt", "verify", file, "--key", key],
        input=given, capture_output=True, timeout=60, check=False, env=kept, cwd="/",
    )  # fmt: skip


def test_a_first_start_makes_the_key_and_later_ones_keep_it(ledgers: Ledgers, tmp_path: Path) -> None:
    """Beside an embedded ledger there is a key after the first start, its owner's alone; the next start keeps it."""
    path = tmp_path / "ledger.db.keys"
    with Service(ledgers.new(EMBEDDED, tmp_path)) as service:
        made = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        service.stop()
        service.start()

    assert path.read_bytes() == made


def test_a_receipt_is_checked_with_nothing_but_the_key(service: Service, tmp_path: Path) -> None:
    """From a file or the input, the command says what is proven and exits 0."""
    path = receipt_file(service, tmp_path)
    key = service.run("keys", "export").stdout.strip()

    for ended in (verify(str(path), key), verify("-", key, path.read_bytes())):
        assert (ended.returncode, ended.stderr) == (0, b"")
        said = ended.stdout.decode()
        assert "deposit.accepted.v1" in said
        assert "19.9\n" in said
        assert "the world outside" in said
        assert "'Apertura cuenta'" in said


def test_what_moved_no_money_says_so(service: Service, tmp_path: Path) -> None:
    """Of a denied debit and of a hold the command says that no money was moved; of a debit it does not."""
    key = service.run("keys", "export").stdout.strip()
    path = tmp_path / "receipt.json"
    said = []
    with service.client() as client:
        world = World(client)
        for transaction in (world.debit(100).headers["location"].rpartition("/")[2], world.hold, world.transaction):
            path.write_bytes(client.get(f"/transactions/{transaction}/receipt").content)
            said.append(verify(str(path), key).stdout.decode())

    kinds = ("debit.denied", "hold.placed", "debit.accepted")
    assert all(kind in text for kind, text in zip(kinds, said, strict=True))
    assert ["no money was moved" in text for text in said] == [True, True, False]


def test_what_does_not_verify_exits_1(service: Service, tmp_path: Path) -> None:
    """An altered receipt and one of another ledger exit 1 and say why, with nothing on standard output."""
    path = receipt_file(service, tmp_path)
    key = service.run("keys", "export").stdout.strip()
    other = Service(tmp_path / "other.db").run("keys", "create").stdout.strip()
    altered = path.read_bytes().replace(b"199000", b"999000")

    for ended in (verify("-", key, altered), verify(str(path), other), verify("-", key, b"{}")):
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert ended.stderr.startswith(b"monedero: the receipt does NOT verify: ")
        assert ended.stderr.count(b"\n") == 1


def test_what_cannot_be_checked_exits_2(service: Service, tmp_path: Path) -> None:
    """A file that is not there and a key that is none are told apart from a receipt that does not verify."""
    key = service.run("keys", "export").stdout.strip()

    for ended in (verify(str(tmp_path / "none"), key), verify(str(receipt_file(service, tmp_path)), key[:-1])):
        assert (ended.returncode, ended.stdout) == (2, b"")


def test_keys_are_made_changed_and_listed(tmp_path: Path) -> None:
    """`create` makes a key once, `rotate` another; `list` shows both with their times, `export` the one that signs."""
    operator = Service(tmp_path / "ledger.db")
    first = operator.run("keys", "create", "--origin", "example.com/ledger")
    again = operator.run("keys", "create")
    second = operator.run("keys", "rotate")
    lines = operator.run("keys", "list").stdout.splitlines()

    assert first.stdout.startswith("example.com/ledger+")
    assert (again.returncode, again.stdout) == (2, "")
    assert "There is a signing key" in again.stderr
    assert second.stdout != first.stdout
    assert [line.split("  ")[0] for line in lines] == [second.stdout.strip(), first.stdout.strip()]
    assert lines[0].endswith("  now")
    assert lines[1].split("  ")[2] == lines[0].split("  ")[1]
    assert operator.run("keys", "export").stdout == second.stdout
    assert "PRIVATE" not in first.stdout + second.stdout + "".join(lines)


@pytest.mark.parametrize("kind", [EMBEDDED, POSTGRES[0]])
def test_a_key_that_was_named_must_be_there(ledgers: Ledgers, tmp_path: Path, kind: str) -> None:
    """Where the setting names a file, `serve` does not make one up: it says what is missing and exits 2."""
    service = Service(ledgers.new(kind, tmp_path), **{KEYS: str(tmp_path / "missing")})
    several = ("--workers", "2") if kind != EMBEDDED else ()
    ended = service.run("serve", *several)

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"monedero: The signing key at {tmp_path / 'missing'} cannot be read")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "missing").exists()


def test_keys_of_a_ledger_in_postgresql_need_a_file(ledgers: Ledgers, tmp_path: Path) -> None:
    """Beside a database there is no place for a key: the setting has to name one."""
    ended = Service(ledgers.new(POSTGRES[0], tmp_path)).run("keys", "list")

    assert ended.returncode == 2
    assert KEYS in ended.stderr


def test_workers_and_services_share_one_key(ledgers: Ledgers, tmp_path: Path) -> None:
    """Every process of a ledger in PostgreSQL signs with the key in the file that they all name."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    keys = {KEYS: str(tmp_path / "keys")}
    key = Service(url, **keys).run("keys", "create").stdout.strip()
    with Service(url, "--workers", "2", **keys) as one, Service(url, **keys) as two:
        path = receipt_file(one, tmp_path)
        place = path.read_text().partition('"id":"')[2].partition('"')[0]
        for base in [one.base] * 8 + [two.base] * 2:
            receipt = httpx.get(f"{base}/transactions/{place}/receipt", timeout=30).content
            assert verify_receipt(receipt, VerifierKey.parse(key)).checkpoint.size > 0
