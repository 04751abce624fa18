"""The versions of OCPP that a scenario can be run on. A module per version is loaded when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field

from agent.model.entry_points import load_entry_point
from agent.model.fastclass import frozen
from agent.scenario.frames import Frame
from agent.scenario.observation import Observation, StationView
from agent.scenario.operations import OperationForm

VERSIONS: Mapping[str, str] = {
    "1.6": "agent.scenario.v16:WORDS",
    "2.0.1": "agent.scenario.v201:WORDS",
    "2.1": "agent.scenario.v201:WORDS",
}
"""The rows that register the modules. 2.1 writes what scenarios use as 2.0.1 does."""


@frozen
class VersionWords:
    """``readers``: by action, what reads its frames. ``operations``: by name, how it is written in this version.
    ``capabilities``: by need, the setting that says whether a station offers it, and a word that it contains then."""

    readers: Mapping[str, Callable[[StationView, Frame], Iterator[Observation]]]
    operations: Mapping[str, OperationForm]
    capabilities: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def read_frame(view: StationView, frame: Frame) -> None:
    """Add to the view what a frame shows."""
    words = load_version_words(frame.version)
    reader = words.readers.get(frame.action) if words else None
    if reader is None or not isinstance(frame.payload, dict):
        return
    try:
        view.observations += list(reader(view, frame))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return  # a frame of another shape: it stays in the log as evidence


def find_operation_form(version: str, name: str) -> OperationForm | None:
    """Return how an operation is written in a version, None if there is no such operation in it."""
    words = load_version_words(version)
    return words.operations.get(name) if words else None


def load_version_words(version: str) -> VersionWords | None:
    """Return the words of a version, None for one that is not known here."""
    entry = VERSIONS.get(version)
    return load_entry_point(entry) if entry else None
