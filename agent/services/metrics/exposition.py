"""Metric families, and their text in the OpenMetrics format 1.0, or in the older text format of Prometheus (0.0.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from agent.model.fastclass import frozen

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PLAIN_KINDS = {"info": "gauge", "stateset": "gauge"}
"""The kinds that the older format does not know."""


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
    return "\n".join([*_exposition_lines(families, samples, _family_lines), "# EOF", ""])


def prometheus_text(families: Iterable[MetricFamily], samples: Iterable[MetricSample]) -> str:
    """Return the same values in the older format, which names a family as its samples and has no units."""
    return "\n".join([*_exposition_lines(families, samples, _plain_family_lines), ""])


def _exposition_lines(
    families: Iterable[MetricFamily], samples: Iterable[MetricSample], head: Callable[[MetricFamily], Iterator[str]]
) -> Iterator[str]:
    by_family: dict[str, list[MetricSample]] = {}
    for sample in samples:
        by_family.setdefault(sample.family.name, []).append(sample)
    for family in families:
        if family.name in by_family:
            yield from head(family)
            yield from map(_sample_line, by_family[family.name])


def _family_lines(family: MetricFamily) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escape_text(family.help)}"


def _plain_family_lines(family: MetricFamily) -> Iterator[str]:
    help_text = family.help.replace("\\", "\\\\").replace("\n", "\\n")  # with its quotes as they are
    yield f"# HELP {family.sample_name} {help_text}"
    yield f"# TYPE {family.sample_name} {PLAIN_KINDS.get(family.kind, family.kind)}"


def _sample_line(sample: MetricSample) -> str:
    labels = _label_text(dict(zip(sample.family.labels, sample.labels, strict=True)))
    return f"{sample.family.sample_name}{labels} {_number_text(sample.value)}"


def _label_text(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escape_text(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escape_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
