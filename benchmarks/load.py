"""Load over HTTP: the requests of each workload, `wrk` to send them on many connections, a client to count them out."""

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.ledgers import MOST_UNITS, Wallets, chooser
from benchmarks.report import MissingError, VoidError
from benchmarks.service import LIMIT_SECONDS, Served, cpu_seconds
from monedero.sources import new_id

DEBIT = "POST /businesses/wallets/{business_wallet_id}/debit"
WALLET = "GET /customers/wallets/{wallet_id}"
PAGE = "GET /customers/wallets/{wallet_id}/transactions"
LISTED = 20
"""So many of the customers are asked for a page of transactions."""
PREPARED = 20_000
"""Requests of each workload, sent over and over."""


class Run(NamedTuple):
    """What one run of wrk found."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    cpu_microseconds: float


def workloads(wallets: Wallets) -> dict[str, list[str]]:
    """Return the same random requests every time: method, path, body."""
    choose = chooser()
    found: dict[str, list[str]] = {"debit": [], "wallet": [], "page of 100": [], "mix 6:3:1": []}
    for _ in range(PREPARED):
        amount = choose.randint(1, MOST_UNITS) / 10_000
        customer, business = choose.choice(wallets.customers), choose.choice(wallets.businesses)
        body = f'{{"customer_wallet_id":"{customer}","amount":{amount:.4f},"description":"An order"}}'
        three = (
            f"{DEBIT.format(business_wallet_id=business)} {body}",
            f"{WALLET.format(wallet_id=choose.choice(wallets.customers))} ",
            f"{PAGE.format(wallet_id=choose.choice(wallets.customers[:LISTED]))} ",
        )
        for requests, request in zip(found.values(), (*three, *choose.choices(three, (6, 3, 1))), strict=True):
            requests.append(request)
    return found


def drive(server: Served, prepared: Path, seconds: int, connections: int, *, keyed: bool = False) -> Run:
    """Send the requests in the file, one a line, for so long, each with a new idempotency key if they are keyed.

    Raises VoidError when one fails, MissingError.
    """
    if shutil.which("wrk") is None:
        raise MissingError("wrk is not installed")
    script = Path(__file__).with_name("requests.lua")
    command: list[str | Path] = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script]
    arguments = [prepared, new_id()] if keyed else [prepared]
    before = cpu_seconds(server)
    done = subprocess.run(
        [*command, server.url, "--", *arguments], check=False, capture_output=True, text=True,
        timeout=seconds + LIMIT_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise VoidError(f"wrk failed: {done.stderr}")
    used = cpu_seconds(server) - before
    requests, microseconds, p50, p99, failed = map(int, done.stdout.splitlines()[-1].split())
    if failed or not requests:
        raise VoidError(f"{failed} of {requests} requests of {prepared.name} failed")
    return Run(requests / microseconds * 1e6, p50 / 1e3, p99 / 1e3, used / requests * 1e6)


class Client:
    """One connection that sends requests made before and takes whole answers, with next to no work of its own."""

    def __init__(self, server: Served) -> None:
        host, _, port = server.url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        """Send without waiting for the answer."""
        self._socket.sendall(request)

    def receive(self) -> bytes:
        """Return the next answer's body. Raises VoidError unless it is a success."""
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(received) < end + 4 + length:
            received += self._more()
        if head.split(b" ", 2)[1][:1] != b"2":
            raise VoidError(f"a request failed: {received.decode()}")
        return received[end + 4 :]

    def receive_chunks(self) -> bytes:
        """Return the next answer, which comes in chunks, with head and framing."""
        received = bytearray()
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += self._more()
        return bytes(received)

    def _more(self) -> bytes:
        if part := self._socket.recv(65_536):
            return part
        raise VoidError("the service hung up")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def packed(request: str) -> bytes:
    """Return a request of a workload as the bytes that go over the connection."""
    method, path, body = request.split(" ", 2)
    headers = ["host: 127.0.0.1"]
    if body:
        headers += ["content-type: application/json", f"content-length: {len(body.encode())}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", body]).encode()


def middle(runs: Sequence[Run]) -> Run:
    """Return the medians of each figure."""
    return Run(*(median(column) for column in zip(*runs, strict=True)))
