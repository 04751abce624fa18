"""Metric families, and their text in the OpenMetrics format 1.0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from agent.model.fastclass import frozen

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@frozen
class MetricFamily:
    """What is measured. ``kind``: gauge, counter, info or stateset. ``unit``: the last word of the name; "": none."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def sample_name(self) -> str:
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


@frozen
class MetricSample:
    """One value. ``labels``: the values of the labels of its family, in their order."""

    family: MetricFamily
    labels: tuple[str, ...]
    value: float


def openmetrics_text(families: Iterable[MetricFamily], samples: Iterable[MetricSample]) -> str:
    """Return the exposition: each family with its samples together, as the format demands."""
    by_family: dict[str, list[MetricSample]] = {}
    for sample in samples:
        by_family.setdefault(sample.family.name, []).append(sample)
    lines = [line for f in families if f.name in by_family for line in _family_lines(f, by_family[f.name])]
    return "\n".join([*lines, "# EOF", ""])


def _family_lines(family: MetricFamily, samples: Iterable[MetricSample]) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escape_text(family.help)}"
    for sample in samples:
        labels = _label_text(dict(zip(family.labels, sample.labels, strict=True)))
        yield f"{family.sample_name}{labels} {_number_text(sample.value)}"


def _label_text(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escape_text(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escape_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
