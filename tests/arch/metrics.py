"""docs/metrics.md: the metrics of a station, made of their table."""

from __future__ import annotations

from agent.assembly.metrics import FAMILIES
from agent.services.metrics.exposition import MetricFamily

TEXT = """\
# Metrics

Generated from `agent/assembly/metrics.py` by `make docs`. Why it is so: [decision 46](decisions/0046-metrics.md).

```toml
[metrics]
port = 9464                              # without it there are none
host = "10.20.0.7"                       # default 127.0.0.1; no password and no TLS: keep it in a VPN
allowed_hosts = ["station-1.ops.example"]  # names with a dot that a collector may use; addresses always may
```

`http://127.0.0.1:9464/metrics` is text in the OpenMetrics format 1.0, for Prometheus and its relatives. A
collector whose `Accept` likes `text/plain` better gets the same values in the older text format of Prometheus (0.0.4):

```yaml
scrape_configs:
  - job_name: chargy-agent
    scrape_interval: 1m
    static_configs:
      - targets: ["10.20.0.7:9464"]
```

A scrape is some 10 kB: not over a metered bearer, unless seldom. `config/grafana/station.json` is a dashboard for
Grafana: *Dashboards, New, Import*.

| metric | kind | labels | what it is |
|---|---|---|---|
{rows}
"""


def text() -> str:
    return TEXT.format(rows="\n".join(map(_row, FAMILIES)))


def _row(family: MetricFamily) -> str:
    labels = ", ".join(f"`{name}`" for name in family.labels if name != family.name)
    return f"| `{family.sample_name}` | {family.kind} | {labels} | {family.help} |"
