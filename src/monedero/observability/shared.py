"""Metrics of several processes as one: each keeps its share in files of one folder, and whoever is asked adds up.

A process's files go by the number of its place among the workers, not by its process id: the one that takes the place
of a dead one goes on counting where that stopped, so that no total falls and no file is left behind.
"""

import os

import msgspec
from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Place(msgspec.Struct, frozen=True):
    """A worker's number, and the folder that it shares with the others."""

    number: int
    folder: str


def share(place: Place) -> None:
    """Keep the metrics that this process makes from now on in the shared folder. Once in a process."""
    os.environ[FOLDER_VARIABLE] = place.folder  # It is from there that the library takes it.
    values.ValueClass = values.MultiProcessValue(lambda: place.number)


def forget(place: Place) -> None:
    """Remove what a dead process had said of its present state. What it has counted stays."""
    mark_process_dead(place.number, place.folder)


def together(folder: str) -> CollectorRegistry:
    """Return what collects the metrics of all processes."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)
    return registry
