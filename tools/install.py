"""Create .venv and install one lock file into it, with nothing but Python's standard library.

The installer is the pip wheel beside this file: a wheel runs from its own archive, so that one pinned
version serves every machine, with or without a pip or an `ensurepip` of its own.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
MINIMUM = (3, 11)


def main(lock: str) -> None:
    """Install the packages that `lock` names, by hash, then the project itself, editable."""
    if sys.version_info < MINIMUM:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"monedero needs Python 3.11 or newer; this is {found}. Name another one: make PYTHON=python3.12 ...")
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        print("creating .venv", flush=True)
        venv.create(ENVIRONMENT, symlinks=True)
    (pip,) = (ROOT / "tools").glob("pip-*.whl")
    install = [
        str(python),
        f"{pip}/pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]
    print(f"installing {lock}", flush=True)
    run([*install, "--require-hashes", "--only-binary=:all:", "--requirement", str(ROOT / lock)])
    run([*install, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])


def run(command: list[str]) -> None:
    """Run one command; what it says on failure is all that a user needs to see."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    if subprocess.run(command, env=environment, check=False).returncode:
        sys.exit("the installation did not finish: see above; run the same command again once that is mended")


if __name__ == "__main__":
    main(sys.argv[1])
