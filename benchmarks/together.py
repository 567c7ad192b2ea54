"""Many debits in one request, as batches of 1,000 and as streams of lines, beside the same debits one a request."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.ledgers import BATCH, create
from benchmarks.load import Client, drive, workloads
from benchmarks.report import Comparison, Found, VoidError
from benchmarks.service import Served, run, serve_ledger
from benchmarks.suite import Sizes, alone

CONNECTIONS = 4
"""Enough to keep the service busy while each waits for an answer."""
TARGET = 5
HEAD = b"POST /batches HTTP/1.1\r\nhost: 127.0.0.1\r\n"
DONE = b'"status":201'

Send = Callable[[Client, Sequence[bytes]], None]
"""Has commands carried out, each a line. Raises VoidError when one fails."""


def measure(sizes: Sizes, folder: Path) -> Found:
    """Measure batches, streams and single requests by turns, all on one service."""
    url = f"sqlite:///{folder}/ledger.db"
    requests = workloads(create(url))["debit"]
    (folder / "debit").write_text("\n".join(requests))
    lines = [_line(each) for each in requests]
    rates: dict[str, list[float]] = {"series": [], "single": [], "batches": [], "lines": []}
    with serve_ledger(url) as service:
        for number in range(1 + sizes.rounds):
            found = {
                "series": drive(service, folder / "debit", sizes.seconds, 1).requests_per_second,
                "single": drive(service, folder / "debit", sizes.seconds, sizes.connections).requests_per_second,
                "batches": _rate(service, _send_batch, lines, sizes.seconds),
                "lines": _rate(service, _send_stream, lines, sizes.seconds),
            }
            for what, rate in found.items():
                rates[what] += [rate] if number else []
    run("verify", url)
    return Found(
        [
            Comparison(f"debits, {what}", "/s", rates[ours], beside, rates[yardstick], TARGET)
            for what, ours in ((f"{BATCH:,} a request", "batches"), ("a stream of lines", "lines"))
            for beside, yardstick in (("a client's, one by one", "series"), ("one a request, at once", "single"))
        ]
    )


def _line(request: str) -> bytes:
    """Return a request of a workload as a command of a batch."""
    _, path, body = request.split(" ", 2)
    return f'{{"path":"{path}","body":{body}}}\n'.encode()


def _rate(service: Served, send: Send, lines: Sequence[bytes], seconds: int) -> float:
    """Return commands a second over some connections, each of which has thousands carried out again and again."""
    began = time.perf_counter()

    def work(number: int) -> int:
        count = 0
        with Client(service) as client:
            for some in _thousands(lines, number):
                if time.perf_counter() > began + seconds:
                    break
                send(client, some)
                count += len(some)
        return count

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        count = sum(threads.map(work, range(CONNECTIONS)))
    return count / (time.perf_counter() - began)


def _thousands(lines: Sequence[bytes], number: int) -> Iterator[Sequence[bytes]]:
    """Yield commands for a connection, five thousand at a time, without end."""
    share = len(lines) // CONNECTIONS
    while True:
        yield lines[number * share : (number + 1) * share]


def _send_batch(client: Client, lines: Sequence[bytes]) -> None:
    for start in range(0, len(lines), BATCH):
        some = lines[start : start + BATCH]
        body = b'{"commands":[%s]}' % b",".join(some)
        client.send(HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        _require_done(client.receive(), len(some))


def _send_stream(client: Client, lines: Sequence[bytes]) -> None:
    body = b"".join(lines)
    request = HEAD + b"content-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    sender = threading.Thread(target=client.send, args=(request,))
    sender.start()
    answer = client.receive_chunks()
    sender.join()
    _require_done(answer, len(lines))


def _require_done(answer: bytes, count: int) -> None:
    if (done := answer.count(DONE)) != count:
        raise VoidError(f"{count - done} of {count} commands failed")


if __name__ == "__main__":
    alone("together", measure)
