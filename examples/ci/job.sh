#!/bin/sh
# A job of continuous integration: any runner with Python 3.11 or newer can do it.
set -eu
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/pip install --quiet 'chargy-agent[sim]' pytest
.venv/bin/python -m pytest --junitxml=report.xml
