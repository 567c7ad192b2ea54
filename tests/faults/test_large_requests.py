"""Requests that would eat memory: they are refused, and the service stays as small as it was."""

import socket
from contextlib import suppress
from pathlib import Path

from tests.api.world import World
from tests.support import Service

CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
SENT_BYTES = 64 * 1024 * 1024
GROWTH_LIMIT_BYTES = 20 * 1024 * 1024


def resident_bytes(service: Service) -> int:
    """Return how much memory the service holds."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_a_body_without_end_is_not_kept(tmp_path: Path) -> None:
    """Eight clients that send 64 MiB each in chunks get 413 and cost no memory; others are served meanwhile."""
    limits = {"MONEDERO_BODY_TIMEOUT_SECONDS": "2"}
    with Service(tmp_path / "ledger.db", **limits) as service, service.client() as client:
        world = World(client)
        before = resident_bytes(service)
        host, _, port = service.base.removeprefix("http://").partition(":")
        head = (
            f"POST /customers HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        answers = []
        for _ in range(8):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(head.encode())
                with suppress(ConnectionError):
                    for _ in range(SENT_BYTES // len(CHUNK)):
                        connection.sendall(CHUNK)
                with suppress(ConnectionError):
                    answers.append(connection.recv(100))
            assert client.get(f"/wallets/{world.wallet}").status_code == 200
        grown = resident_bytes(service) - before

    assert [answer[:12] for answer in answers if answer] == [b"HTTP/1.1 413"] * 8
    assert grown < GROWTH_LIMIT_BYTES
