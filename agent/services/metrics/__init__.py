"""Metrics of a running station in the OpenMetrics text format, over HTTP (decision 46).

Imported only by a station whose file has ``[metrics] port``.
"""
