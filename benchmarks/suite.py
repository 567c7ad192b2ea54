"""Runs benchmarks by name, with one set of sizes for all; prints the table, writes JSON and plot."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec

from benchmarks.plot import plot
from benchmarks.report import (
    RESULTS,
    Found,
    MissingError,
    VoidError,
    as_json,
    environment,
    print_comparisons,
    print_environment,
    write,
)


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured; the defaults keep `make bench` under ten minutes on two cores."""

    rounds: int = 5
    seconds: int = 2
    connections: int = 64
    events: int = 1_000_000
    requests: int = 300
    batches: int = 50


HELP = {
    "rounds": "How often each is measured, in turns with its yardstick; one more round warms up.",
    "seconds": "How long the load generator drives each, in a round.",
    "connections": "How many clients wait for an answer at a time.",
    "events": "How long the large log and the long history are.",
    "requests": "How many requests a client sends in series, in a round.",
    "batches": "How many batches of 1,000 are committed in process, in a round.",
}

Measure = Callable[[Sizes, Path], Found]
"""Runs one benchmark, with a folder on the disk that is measured."""


def alone(name: str, measure: Measure) -> None:
    """Run one benchmark as a program of its own: no plot, and a file that git does not keep."""
    suite({name: measure}, name, measure.__doc__, plotted=False)()


def suite(measures: Mapping[str, Measure], name: str, about: str | None, *, plotted: bool = True) -> click.Command:
    """Return the program that runs some benchmarks and writes results/NAME.json, and the plot."""

    def main(only: tuple[str, ...], to: Path, **sizes: int) -> None:
        chosen = {each: measure for each, measure in measures.items() if each in only or not only}
        sys.exit(_run(chosen, Sizes(**sizes), to / name, plotted=plotted))

    fields = msgspec.structs.fields(Sizes)
    options: list[click.Parameter] = [
        click.Option(["--only"], multiple=True, type=click.Choice(list(measures)), help="Run this one; repeatable."),
        click.Option(["--to"], type=click.Path(path_type=Path), default=RESULTS, help="The folder for the results."),
        *(
            click.Option([f"--{field.name}"], default=field.default, show_default=True, help=HELP[field.name])
            for field in fields
        ),
    ]
    return click.Command(name, callback=main, params=options, help=about)


def _run(measures: Mapping[str, Measure], sizes: Sizes, to: Path, *, plotted: bool) -> int:
    RESULTS.mkdir(exist_ok=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    found, failures, seconds = Found([]), {}, {}
    with TemporaryDirectory(dir=RESULTS) as root:
        found.environment = environment(Path(root))
        for each, measure in measures.items():
            started = time.perf_counter()
            with TemporaryDirectory(dir=root) as folder:
                try:
                    some = measure(sizes, Path(folder))
                except (MissingError, VoidError) as error:
                    failures[each] = f"{'left out' if isinstance(error, MissingError) else 'VOID'}: {error}"
                else:
                    found.comparisons += some.comparisons
                    found.details[each] = some.details
                    found.environment.update(some.environment)
            seconds[each] = round(time.perf_counter() - started, 1)
            print(f"{each}: {seconds[each]:.0f} s", file=sys.stderr, flush=True)
    print_environment(found.environment)
    print(f"\nmedians of {sizes.rounds} rounds by turns; ratio: median, least and most of the rounds' own\n")
    print_comparisons(found.comparisons)
    for each, failure in failures.items():
        print(f"\n{each} is {failure}")
    print(f"\nwritten to {to}.json" + (" and .svg" if plotted else ""))
    results = {
        "sizes": sizes,
        "environment": found.environment,
        "comparisons": [as_json(each) for each in found.comparisons],
        "failures": failures,
        "took_seconds": seconds,
        "details": found.details,
    }
    write(to, results)
    if plotted:
        to.with_suffix(".svg").write_text(plot(found.comparisons), encoding="utf-8")
    return int(any(failure.startswith("VOID") for failure in failures.values()))
