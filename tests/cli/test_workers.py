"""`serve --workers`: several processes on one port, started, watched and stopped as one."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.api.world import World
from tests.ledgers import POSTGRES, Ledgers
from tests.support import Service, until

WORKERS = 3


@pytest.fixture
def several(ledgers: Ledgers, tmp_path: Path) -> Iterator[Service]:
    """Return the service as several processes."""
    with Service(ledgers.new(POSTGRES[0], tmp_path), "--workers", str(WORKERS)) as running:
        yield running


def processes() -> dict[int, tuple[int, bytes]]:
    """Return the parent and the command of every process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It ended meanwhile.
            parent = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_bytes()
    return found


def children(service: Service) -> set[int]:
    """Return the workers' process ids; what the interpreter starts for its own sake is none."""
    supervisor = service.process.pid
    return {
        child
        for child, (parent, command) in processes().items()
        if parent == supervisor and command and b"resource_tracker" not in command
    }


def answered(service: Service) -> int:
    """Return the status of a call over a connection of its own."""
    try:
        return httpx.get(f"{service.base}/openapi.json", timeout=10).status_code
    except httpx.TransportError:
        return 0


def test_the_port_is_shared(several: Service) -> None:
    """All workers serve one ledger on one port."""
    assert len(children(several)) == WORKERS
    with several.client() as client:
        world = World(client)
    for amount in range(1, 21):
        with several.client() as client:
            assert client.post(f"/customers/wallets/{world.wallet}/deposit", json={"amount": 1}).status_code == 201
            assert client.get(f"/customers/wallets/{world.wallet}").json()["balance"] == amount


def test_a_worker_that_dies_is_replaced(several: Service) -> None:
    """Another takes its place, and the port answers."""
    before = children(several)
    os.kill(min(before), signal.SIGKILL)

    until(lambda: len(children(several) - before) == 1 and len(children(several)) == WORKERS)
    assert {answered(several) for _ in range(10)} == {200}
    assert several.stop() == 0
    assert not children(several)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_all_stop_together(several: Service, by: signal.Signals) -> None:
    """A signal to the supervisor stops every worker, with exit code 0."""
    ours = children(several)
    assert several.stop(by) == 0
    assert not ours & processes().keys()


def test_workers_do_not_outlive_their_supervisor(several: Service) -> None:
    """When the supervisor is killed the workers stop by themselves."""
    ours = children(several)
    several.kill()

    until(lambda: not ours & processes().keys())


def test_a_port_that_others_share_is_taken(several: Service) -> None:
    """A second service does not slip onto the port, though its sockets would let it."""
    port = several.base.rpartition(":")[2]
    again = Service(several.url, MONEDERO_PORT=port, MONEDERO_WORKERS="2").run("serve")

    assert again.returncode == 2
    assert "Cannot listen on" in again.stderr
    assert again.stderr.count("\n") == 1


def test_workers_that_die_again_and_again(several: Service) -> None:
    """The service gives up with exit code 1 instead of starting workers for ever."""

    def given_up() -> bool:
        for child in children(several):
            with suppress(ProcessLookupError):  # It ended meanwhile.
                os.kill(child, signal.SIGKILL)
        return several.process.poll() is not None

    until(given_up, 60)
    assert several.process.returncode == 1
    assert "the service gives up" in several.process.communicate()[1]
