"""Run the Postman collection twice in a row against the real program, on a ledger of its own that must then verify."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from tools.postman.collection import TARGET

NEWMAN = Path(__file__).resolve().parent / "node_modules" / ".bin" / "newman"
MONEDERO = Path(sys.executable).parent / "monedero"
RUNS = 2
REQUEST_MILLISECONDS = 5_000
SERVER_SECONDS = 300
"""After which the server is killed, whatever it or its client waits for: more than all requests may take."""


def main() -> int:
    """Return 0 when both runs pass, the server stops well and the ledger verifies; else the first code that is not."""
    if shutil.which("node") is None:
        sys.exit("the collection is run by newman, which needs node (16 or newer): install it, then `make postman`")
    if not NEWMAN.exists():
        sys.exit("newman is missing: `make postman` installs the pinned one, as does `npm ci` in tools/postman")
    with tempfile.TemporaryDirectory() as directory:
        database = ["--database-url", f"sqlite:///{directory}/postman.db"]
        codes = [subprocess.run([MONEDERO, "migrate", *database], check=False).returncode]
        if any(codes):
            return codes[0]
        with served(database, codes) as base_url:
            codes += [newman(base_url) for _ in range(RUNS)]
        codes.append(subprocess.run([MONEDERO, "verify", *database], check=False).returncode)
    return next((code for code in codes if code), 0)


@contextmanager
def served(database: list[str], codes: list[int]) -> Iterator[str]:
    """Serve the ledger, yield the address, stop, and add the server's exit code."""
    command: list[str | Path] = [MONEDERO, "serve", "--host", "127.0.0.1", "--port", "0", *database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        limit = Timer(SERVER_SECONDS, server.kill)
        limit.start()
        try:
            addresses = (re.search(r"(http://\S+)/docs", line) for line in server.stdout or ())
            base_url = next((match[1] for match in addresses if match), None)
            if base_url is None:
                sys.exit("the server did not start: see above")
            yield base_url
        finally:
            server.terminate()
            codes.append(server.wait())
            limit.cancel()


def newman(base_url: str) -> int:
    """Run the collection once; a proxy of the environment must not come between."""
    limit = str(REQUEST_MILLISECONDS)
    command: list[str | Path] = [NEWMAN, "run", TARGET, "--env-var", f"base_url={base_url}", "--timeout-request", limit]
    return subprocess.run(command, env={**os.environ, "NO_PROXY": "127.0.0.1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
