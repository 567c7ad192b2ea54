"""What watching costs a debit: CPU from the ASGI request to the answer, in process, over the embedded store.

`python -m benchmarks.observing` starts a process for each way of watching, in turns, and prints for each the least
CPU time of a debit in microseconds. The socket and the HTTP parser, which come on top, are the same for all.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import uvloop

from monedero.api.http import Message, Scope
from monedero.bootstrap import application, observability
from monedero.observability.shared import Place
from monedero.settings import load_settings
from monedero.stores import migrate_store, open_store

TURNS = 5
DEBITS = 12_800
CLIENTS = 64
WAYS: dict[str, dict[str, str]] = {
    "nothing": {"MONEDERO_METRICS": "false"},
    "metrics": {"MONEDERO_METRICS": "true"},
    "metrics, one of several workers": {"MONEDERO_METRICS": "true", "WORKER": "1"},
    "metrics, access log": {"MONEDERO_METRICS": "true", "MONEDERO_ACCESS_LOG": os.devnull},
}


def main() -> None:
    """Measure each way in turns and print what it takes."""
    least = dict.fromkeys(WAYS, float("inf"))
    for _ in range(TURNS):
        for way, environment in WAYS.items():
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.observing", "once"],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                check=True,
            )
            least[way] = min(least[way], float(ended.stdout))
    for way, microseconds in least.items():
        print(f"{way:<40}{microseconds:7.1f} us  {microseconds / least['nothing'] - 1:+6.1%}")


async def once() -> float:
    """Return the microseconds of CPU that a debit takes in this process, the least of three rounds."""
    with tempfile.TemporaryDirectory() as folder:
        worker = os.environ.pop("WORKER", None)
        settings = load_settings(database_url=f"sqlite:///{folder}/ledger.db")
        migrate_store(settings)
        store = open_store(settings)
        (Path(folder) / "metrics").mkdir()
        hooks = observability(settings, store, Place(1, f"{folder}/metrics") if worker else None)
        client = _Client(application(settings, store, print, hooks))
        await client.start()
        customer = await client.post("/customers", name="Ada", last_name="Lovelace", email="ada@example.com")
        wallets = [await client.post("/customers/wallets", customer_id=customer) for _ in range(300)]
        for wallet in wallets:
            await client.post(f"/customers/wallets/{wallet}/deposit", amount=10**12)
        tills = []
        for number in range(10):
            business = await client.post("/businesses", name="Shop", email=f"{number}@example.com")
            tills.append(await client.post("/businesses/wallets", business_id=business))
        least = min([await _round(client, wallets, tills) for _ in range(3)])
        await client.stop()
    return least


async def _round(client: "_Client", wallets: list[str], tills: list[str]) -> float:
    pairs = zip(itertools.cycle(wallets), itertools.cycle(tills), range(DEBITS), strict=False)

    async def debit_on() -> None:
        for wallet, till, _ in pairs:
            await client.post(f"/businesses/wallets/{till}/debit", customer_wallet_id=wallet, amount=1)

    before = time.process_time()
    await asyncio.gather(*(debit_on() for _ in range(CLIENTS)))
    return (time.process_time() - before) / DEBITS * 1e6


class _Client:
    """Calls an application as a server would, without a socket."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - any ASGI application
        self._app = app
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._lifespan: asyncio.Task[None]

    async def start(self) -> None:
        """Start the application."""
        started = asyncio.Event()

        async def send(_: Message) -> None:
            started.set()

        await self._messages.put({"type": "lifespan.startup"})
        scope = {"type": "lifespan", "state": {}, "asgi": {"version": "3.0"}}
        self._lifespan = asyncio.create_task(self._app(scope, self._messages.get, send))
        await started.wait()

    async def stop(self) -> None:
        """Stop it."""
        await self._messages.put({"type": "lifespan.shutdown"})
        await self._lifespan

    async def post(self, path: str, **body: object) -> str:
        """Post and return the id in the answer."""
        content = json.dumps(body).encode()
        answer = b""

        async def receive() -> Message:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal answer
            answer += message.get("body", b"")

        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [
                (b"host", b"127.0.0.1:8000"),
                (b"accept", b"*/*"),
                (b"user-agent", b"benchmark/1.0"),
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(content)),
            ],
        }
        # A task each, as under a server: what is kept for a request is kept apart.
        await asyncio.create_task(self._app(scope, receive, send))
        return str(json.loads(answer)["id"])


if __name__ == "__main__":
    if sys.argv[1:] == ["once"]:
        print(uvloop.run(once()))
    else:
        click.command(help=__doc__)(main)()
