"""A ledger moves from one store to another and stays what it was, or the move stops and nobody is served half of it."""

import asyncio
import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monedero.engine import imports
from monedero.engine.batch import alone
from monedero.engine.batch import commit as commit_batch
from monedero.engine.export import export
from monedero.engine.imports import Imported, ImportRefusedError, import_from, read_header
from monedero.engine.replay import DiscrepancyError
from monedero.engine.verify import verify
from monedero.ledger.ids import OwnerId
from monedero.ledger.merkle import EMPTY, Head
from monedero.ledger.profiles import OwnerKind, PersonalData
from monedero.ledger.state import Wallet
from monedero.settings import load_settings
from monedero.storage.store import StoreUnavailableError
from monedero.stores import open_for_import, open_snapshot
from tests.ledgers import BOTH, EMBEDDED, KINDS, POSTGRES, Ledgers, migrate, opened
from tests.support import PROGRAM, Service, accepted, debit, deposit, new_wallet, registration, run, until

CHUNK_EVENTS = 5
EVENTS, OWNERS, KEPT = 24, 5, 4
FINISHED = "is not finished: run it again"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few events be several chunks."""
    monkeypatch.setattr(imports, "CHUNK_EVENTS", CHUNK_EVENTS)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a ledger with every kind of event, and an owner whose personal data is not kept."""
    path = tmp_path_factory.mktemp("source") / "ledger.db"
    url = f"sqlite:///{path}"
    migrate(url)
    store = opened(url)
    customer, other = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.CUSTOMER)
    business = new_wallet(store, OwnerKind.BUSINESS)
    accepted(store, deposit(customer, 100), deposit(other, 100, 'con "comillas" y ñ'), debit(business, customer, 30))
    erased = registration(OwnerKind.CUSTOMER)
    accepted(store, erased, debit(business, other, 500), deposit(customer, 1, None))
    accepted(store, *(debit(business, other, 5) for _ in range(10)), registration(OwnerKind.BUSINESS, "Ñandú@x.org"))
    accepted(store, deposit(other, 2**63 - 51))
    run(store.close())
    connection = apsw.Connection(str(path))
    connection.execute(
        "UPDATE owners SET name = NULL, last_name = NULL, email = NULL, email_key = NULL, phone = NULL, salt = NULL "
        "WHERE id = ?",
        (bytes.fromhex(erased.id.replace("-", "")),),
    )
    connection.close()
    return url


@pytest.fixture(scope="module")
def exported(source: str) -> bytes:
    """Return its export with personal data."""
    return export_of(source)


@pytest.fixture(params=BOTH)
def target(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty ledger of each kind in turn."""
    url = ledgers.new(request.param, tmp_path)
    yield url
    ledgers.drop(url)


def export_of(url: str, *, personal_data: bool = True) -> bytes:
    """Return the export of a ledger."""
    out = BytesIO()
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        export(snapshot, out, personal_data=personal_data)
    return out.getvalue()


async def imported(url: str, stream: BytesIO) -> Imported:
    """Import into a ledger."""
    store = open_for_import(load_settings(database_url=url))
    try:
        return await import_from(stream, read_header(stream), store)
    finally:
        await store.close()


def take(url: str, content: bytes) -> Imported:
    """Import bytes into a ledger."""
    return run(imported(url, BytesIO(content)))


def head(url: str) -> Head:
    """Return the stored head of a ledger, whole or not."""
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        return snapshot.head()


def state(url: str) -> tuple[list[Wallet], list[tuple[OwnerId, PersonalData | None]], str]:
    """Return the wallets, the owners and the root of a ledger that verifies."""
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        owners = [(owner.id, owner.personal) for owner in snapshot.owners()]
        return list(snapshot.wallets()), owners, verify(snapshot).root


def refuse_to_open(url: str) -> None:
    """Check that nothing but an import opens a ledger, and that what is there verifies."""
    with pytest.raises(StoreUnavailableError, match=FINISHED):
        opened(url)
    with pytest.raises(StoreUnavailableError, match=FINISHED):
        export_of(url)
    state(url)


def lines(content: bytes) -> list[bytes]:
    """Return the lines of an export: the header, the owners, the events."""
    return content.splitlines(keepends=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_moves_and_comes_back(
    source: str, exported: bytes, ledgers: Ledgers, kind: str, tmp_path: Path
) -> None:
    """Embedded to every kind of store and back: wallets, owners, root, and every byte of the next export are equal."""
    there = ledgers.new(kind, tmp_path)
    (tmp_path / "back").mkdir()
    back = ledgers.new(EMBEDDED, tmp_path / "back")
    done = take(there, exported)
    take(back, export_of(there))

    assert done == Imported(EVENTS, 0, OWNERS, KEPT, head(source).root.hex())
    assert state(there) == state(source) == state(back)
    assert export_of(there) == export_of(back) == exported
    assert head(there) == head(source)


def test_a_ledger_moves_without_personal_data(source: str, target: str) -> None:
    """Without the owners' lines the log and the money are the same, and every owner is there without a name."""
    content = export_of(source, personal_data=False)
    done = take(target, content)
    wallets, owners, root = state(target)

    assert (done.owners, done.owners_with_personal_data) == (OWNERS, 0)
    assert (wallets, root) == (state(source)[0], head(source).root.hex())
    assert [personal for _, personal in owners] == [None] * OWNERS
    assert export_of(target) == content


def test_a_ledger_goes_on_where_it_came_from_left_off(exported: bytes, target: str) -> None:
    """After an import the ledger is one like any other: it takes commands and verifies."""
    take(target, exported)
    store = opened(target)
    customer, business = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    accepted(store, deposit(customer, 100), debit(business, customer, 30))
    run(store.close())

    state(target)
    assert head(target).size == EVENTS + 6


def test_an_empty_ledger_moves(ledgers: Ledgers, target: str, tmp_path: Path) -> None:
    """The export of a ledger without events is imported into one without events."""
    (tmp_path / "empty").mkdir()
    done = take(target, export_of(ledgers.new(EMBEDDED, tmp_path / "empty")))

    assert (done.events, done.root) == (0, EMPTY.root.hex())
    run(opened(target).close())


def test_an_export_from_before_there_were_owners_in_it(source: str, target: str) -> None:
    """A first line that does not speak of owners means that there are none."""
    content = export_of(source, personal_data=False).replace(b',"owners":0}', b"}", 1)

    assert take(target, content).owners_with_personal_data == 0
    state(target)


@pytest.mark.parametrize("chunks", range(EVENTS // CHUNK_EVENTS + 1))
def test_an_import_that_was_cut_short_goes_on(source: str, exported: bytes, target: str, chunks: int) -> None:
    """Whichever chunk was the last: nobody opens the ledger, and the same import goes on there to the same end."""
    cut = b"".join(lines(exported)[: 1 + KEPT + chunks * CHUNK_EVENTS + 1])
    with pytest.raises(DiscrepancyError, match=f"position {chunks * CHUNK_EVENTS + 1}: .* cut short"):
        take(target, cut)
    assert head(target).size == chunks * CHUNK_EVENTS
    refuse_to_open(target)
    done = take(target, exported)

    assert done.resumed == chunks * CHUNK_EVENTS
    assert state(target) == state(source)
    assert export_of(target) == exported


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.tuples(st.integers(1, 9), st.integers(0, EVENTS)), max_size=4))
def test_an_import_with_chunks_of_any_size_goes_on(
    exported: bytes, ledgers: Ledgers, tmp_path: Path, stops: list[tuple[int, int]]
) -> None:
    """Stopped anywhere, several times, with chunks that do not meet: the end is the same."""
    url = ledgers.new(EMBEDDED, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for chunk_events, stop in stops:
            patch.setattr(imports, "CHUNK_EVENTS", chunk_events)
            with suppress(DiscrepancyError, ImportRefusedError):
                take(url, b"".join(lines(exported)[: 1 + KEPT + stop]))
    if head(url).size < EVENTS:
        take(url, exported)

    assert export_of(url) == exported


def test_a_ledger_with_events_is_no_target(exported: bytes, target: str) -> None:
    """What is in a ledger already is left as it is, and goes on being served."""
    store = opened(target)
    new_wallet(store, OwnerKind.CUSTOMER)
    run(store.close())
    before = head(target)
    with pytest.raises(ImportRefusedError, match="holds 2 events"):
        take(target, exported)

    assert head(target) == before
    run(opened(target).close())


def test_an_import_is_finished_by_no_other(source: str, exported: bytes, target: str) -> None:
    """Another export, be it of the same ledger, does not go on where one has stopped."""
    with pytest.raises(DiscrepancyError):
        take(target, exported[:-1])
    before = head(target)
    for other in (export_of(source, personal_data=False), exported.replace(b'"size":24', b'"size":23', 1)):
        with pytest.raises(ImportRefusedError, match=f"unfinished import of another export, of {EVENTS} events"):
            take(target, other)

    assert head(target) == before
    refuse_to_open(target)


def test_what_is_there_has_to_be_what_comes(exported: bytes, target: str) -> None:
    """An import does not go on after events that are not those of the export."""
    altered = exported.replace(b"Apertura cuenta", b"Apertura sesame", 1)
    with pytest.raises(DiscrepancyError, match="the Merkle root of all is"):
        take(target, altered)
    with pytest.raises(ImportRefusedError, match="not the first of this export"):
        take(target, exported)

    refuse_to_open(target)


def event(position: int) -> int:
    """Return the index of an event's line."""
    return 1 + KEPT + position


def swapped(content: bytes) -> bytes:
    """Return the export with two events in each other's place."""
    each = lines(content)
    each[event(7)], each[event(8)] = each[event(8)], each[event(7)]
    return b"".join(each)


def without(index: int) -> Callable[[bytes], bytes]:
    """Leave a line out."""
    return lambda content: b"".join(line for at, line in enumerate(lines(content)) if at != index)


def changed(index: int, old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Change something in a line."""

    def change(content: bytes) -> bytes:
        each = lines(content)
        assert old in each[index]
        each[index] = each[index].replace(old, new, 1)
        return b"".join(each)

    return change


def repeated(content: bytes) -> bytes:
    """Return the export with a later registration under an id that is taken."""
    each = lines(content)
    first = json.loads(each[event(0)])["event"]
    at = next(at for at in range(event(1), len(each)) if b"business.registered" in each[at] and at > event(6))
    line = json.loads(each[at])
    line["event"]["id"] = first["id"]
    each[at] = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    return b"".join(each)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (swapped, "position 7: in its place is position 8"),
        (without(event(7)), "position 7: in its place is position 8"),
        (without(event(EVENTS - 1)), f"position {EVENTS - 1}: the export was cut short"),
        (lambda content: content[:-1], f"position {EVENTS - 1}: the export was cut short"),
        (lambda content: content[:-40], f"position {EVENTS - 1}: the export was cut short"),
        (lambda content: content + b"\n", f"position {EVENTS}: the export goes on"),
        (changed(event(6), b'"amount":100', b'"amount":101'), "position 6: leaves wallet"),
        (changed(event(6), b"deposit.accepted.v1", b"deposit.accepted.v9"), "position 6: Invalid value"),
        (changed(event(6), b'{"position"', b'{"place"'), "position 6: the line is no event"),
        (changed(event(6), b'"at":', b'"at":\xff'), "position 6: the line is no event"),
        (changed(event(6), b"Apertura", b"\xffpertura"), "position 6: "),
        (changed(event(6), b"Apertura", b"x" * imports.LINE_LIMIT_BYTES), "position 6: the line is too long"),
        (changed(event(6), b'"event":', b'"event":' + b"[" * 20_000), "position 6: the line is no event"),
        (changed(event(6), b'"id":"', b'"id":"x'), "position 6: 'x.*' is no id"),
        (changed(event(0), b'"at":', b'"at":999999999999999999'), "positions 0 to 4: the store does not take"),
        (changed(0, b'"size":24', b'"size":23'), "position 23: the export goes on"),
        (changed(0, b'"size":24', b'"size":25'), "position 24: the export was cut short"),
        (changed(0, b'"owners":4', b'"owners":3'), "position 0: the line is no event"),
        (changed(0, b'"owners":4', b'"owners":5'), "owner 5 of 5: the line is no owner"),
        (changed(1, b'"name":"Pablo"', b'"name":"Pedro"'), "position 0: the personal data of owner .* is not what was"),
        (changed(1, b'"phone":"687137077"', b'"phone":null'), "position 0: the personal data of owner"),
        (changed(1, b'"salt":"AAEC', b'"salt":"AAED'), "position 0: the personal data of owner"),
        (changed(1, b'"salt":"AAEC', b'"salt":"AAE'), "owner 1 of 4: the line is no owner"),
        (changed(1, b'"id":"', b'"id":"x'), "owner x.*: there is personal data, but the log never registered it"),
        (lambda content: content.replace(lines(content)[2], lines(content)[1]), "owner 2 of 4: .* is there twice"),
        (repeated, "positions .* the store does not take"),
    ],
)  # fmt: skip
def test_a_spoiled_export_is_named_where_it_is_spoiled(
    exported: bytes, target: str, spoil: Callable[[bytes], bytes], named: str
) -> None:
    """The import stops at the first line that does not follow, says which, and leaves a ledger that nobody opens."""
    with pytest.raises(DiscrepancyError, match=named):
        take(target, spoil(exported))

    refuse_to_open(target)


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (b"", "the input is empty"),
        (b"# Monedero\n", "no export of a ledger"),
        (b'{"format":"other","version":1,"size":0,"root":"%s"}\n' % (b"0" * 64), "its format is 'other'"),
        (b'{"format":"monedero-log","version":2,"size":0,"root":"%s"}\n' % (b"0" * 64), "is of version 2"),
        (b'{"format":"monedero-log","version":1,"size":-1,"root":"%s"}\n' % (b"0" * 64), "no export of a ledger"),
        (b'{"format":"monedero-log","version":1,"size":0,"root":"00"}\n', "no export of a ledger"),
    ],
)
def test_what_is_no_export_leaves_the_ledger_as_it_was(target: str, first: bytes, named: str) -> None:
    """A first line that is not an export's: nothing has begun, and the empty ledger can be used."""
    with pytest.raises(ImportRefusedError, match=named):
        take(target, first)

    run(opened(target).close())


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_found_or_means_nothing(
    exported: bytes, ledgers: Ledgers, tmp_path: Path, data: st.DataObject
) -> None:
    """Any bit of the export: the import is refused, or the ledger is the one that was exported."""
    flip(exported, ledgers.new(EMBEDDED, tmp_path), data)
    for leftover in tmp_path.iterdir():
        leftover.unlink()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_found_on_the_way_to_postgresql(
    exported: bytes, ledgers: Ledgers, tmp_path: Path, data: st.DataObject
) -> None:
    """The same for the other store."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    flip(exported, url, data)
    ledgers.drop(url)


def flip(exported: bytes, url: str, data: st.DataObject) -> None:
    """Flip one bit and import."""
    spoiled = bytearray(exported)
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        take(url, bytes(spoiled))
    except DiscrepancyError:
        refuse_to_open(url)
    except ImportRefusedError:
        assert head(url) == EMPTY
    else:
        assert export_of(url) == exported


class Meanwhile(BytesIO):
    """A stream in which something happens, once, before a line is read."""

    def __init__(self, content: bytes, line: int, happens: Callable[[], None]) -> None:
        super().__init__(content)
        self._happens = dict.fromkeys([line], happens)
        self._read = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line."""
        if happens := self._happens.pop(self._read, None):
            with ThreadPoolExecutor(1) as thread:  # It may have an event loop of its own.
                thread.submit(happens).result()
        self._read += 1
        return super().readline(-1 if size is None else size)


def test_two_imports_at_once(exported: bytes, ledgers: Ledgers, tmp_path: Path) -> None:
    """Of two imports into one database the slower one stops; the ledger is whole."""
    url = ledgers.new(POSTGRES[0], tmp_path)

    def other() -> None:
        asyncio.run(imported(url, BytesIO(exported)))

    with pytest.raises(ImportRefusedError, match="Another process has written"):
        run(imported(url, Meanwhile(exported, event(12), other)))

    assert export_of(url) == exported
    run(opened(url).close())


def test_an_embedded_file_is_one_imports_alone(exported: bytes, ledgers: Ledgers, tmp_path: Path) -> None:
    """A second import into the file is kept out by its lock, and the first one goes on."""
    url = ledgers.new(EMBEDDED, tmp_path)

    def other() -> None:
        with pytest.raises(StoreUnavailableError, match="Another process is using the ledger"):
            asyncio.run(imported(url, BytesIO(exported)))

    run(imported(url, Meanwhile(exported, event(12), other)))

    assert export_of(url) == exported


@pytest.mark.parametrize("line", [event(2), event(12), event(EVENTS - 1)])
def test_a_service_that_was_there_before(exported: bytes, ledgers: Ledgers, tmp_path: Path, line: int) -> None:
    """Who has had the empty ledger open from before can still write: the import notices, and is never finished."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    service = opened(url)

    def write() -> None:
        async def register() -> None:
            await commit_batch(service, alone(registration(OwnerKind.CUSTOMER)))
            await service.close()

        asyncio.run(register())

    with pytest.raises(ImportRefusedError, match="Another process has written"):
        run(imported(url, Meanwhile(exported, line, write)))
    with pytest.raises(ImportRefusedError, match="not the first of this export"):
        take(url, exported)

    with pytest.raises(StoreUnavailableError, match=FINISHED):
        opened(url)


def test_the_program_moves_a_ledger_through_a_pipe(source: str, exported: bytes, target: str) -> None:
    """`export | import` into a ledger of the other kind, which then is served, with what the program says of it."""
    command = [str(PROGRAM), "export", "--personal-data", "--database-url", source]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=Service(source).environment) as writing:
        assert writing.stdout is not None
        done = run_import(target, writing.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [
        "            24 events",
        "             5 owners, 4 of them with personal data",
        f"  Merkle root {head(source).root.hex()}",
    ]
    with Service(target) as service, service.client() as client:
        assert client.get(f"/transactions/{json.loads(lines(exported)[-1])['event']['id']}").status_code == 200


def test_what_the_program_says_when_it_cannot(exported: bytes, target: str, tmp_path: Path) -> None:
    """Exit code 1 for an export that is not whole, 2 for what the operator has to mend, each with one sentence."""
    cut, whole = tmp_path / "cut.jsonl", tmp_path / "whole.jsonl"
    cut.write_bytes(exported[:-40])
    whole.write_bytes(exported)
    service, absent = Service(target), Service(tmp_path / "absent.db")
    runs = [
        (absent.run("import", "--input", str(whole)), 2, "There is no ledger at"),
        (service.run("import", "--input", str(tmp_path / "absent")), 2, "No such file"),
        (service.run("import", "--input", "/dev/null"), 2, "the input is empty"),
        (service.run("import", "--input", str(cut)), 1, f"the export is not whole: position {EVENTS - 1}: "),
        (service.run("serve"), 2, FINISHED),
        (service.run("rebuild"), 2, FINISHED),
        (service.run("export"), 2, "is not finished: run it again before an export"),
        (service.run("import", "--input", str(whole)), 0, ""),
        (service.run("import", "--input", str(whole)), 2, "it has been imported"),
    ]

    for ended, code, sentence in runs:
        assert (ended.returncode, ended.stderr.count("\n")) == (code, 1 if code else 0), ended
        assert sentence in ended.stderr


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_was_killed_goes_on(ledgers: Ledgers, target: str, tmp_path: Path, by: signal.Signals) -> None:
    """What was killed, or ended by Ctrl-C, left whole chunks, which verify and are not served; run again, it ends."""
    (tmp_path / "long").mkdir()
    source = ledgers.new(EMBEDDED, tmp_path / "long")
    store = opened(source)
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    for _ in range(20):
        accepted(store, *(deposit(wallet, 1) for _ in range(500)))
    run(store.close())
    content, whole, service = export_of(source), tmp_path / "whole.jsonl", Service(target)
    whole.write_bytes(content)
    command = [str(PROGRAM), "import", "--database-url", target]
    killed = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=service.environment)
    assert killed.stdin is not None
    killed.stdin.write(b"".join(lines(content)[:9_000]))
    killed.stdin.flush()
    until(lambda: head(target).size == 8_000)
    killed.send_signal(by)
    killed.wait(timeout=10)
    with suppress(BrokenPipeError):
        killed.communicate()
    audit = service.run("verify")
    again = service.run("import", "--input", str(whole))

    assert audit.returncode == 1
    assert audit.stderr == "monedero: the import into it is not finished: it has 8,000 of 10,002 events\n"
    assert "10,002 events, 8,000 of them by an import that had stopped" in again.stdout
    assert export_of(target) == content


def test_a_terminal_is_no_export(target: str) -> None:
    """Who starts an import with nothing to read is told so, and does not wait for ever."""
    ours, theirs = pty.openpty()
    ended = run_import(target, theirs)
    os.close(ours)
    os.close(theirs)

    assert ended.returncode == 2
    assert "--input" in ended.stderr


def run_import(url: str, source: IO[bytes] | int) -> subprocess.CompletedProcess[str]:
    """Run the command with something to read."""
    command = [str(PROGRAM), "import", "--database-url", url]
    return subprocess.run(
        command, stdin=source, capture_output=True, text=True, timeout=60, check=False, env=Service(url).environment
    )
