"""``chargy-agent csms``: the test central system."""

from __future__ import annotations

from agent.csms.central_system import add_arguments, main
from agent.model.command import Command

ABOUT = """\
A small central system (CSMS) for tests and demonstrations. It accepts every station, authorizes known tokens, and
stores what it receives. Not for public charging. Needs the extra: pip install 'chargy-agent[sim]'.

  chargy-agent csms                                     ws://127.0.0.1:9000, all versions
  chargy-agent csms --port 9100 --ocpp 2.0.1            one version
  chargy-agent csms --soap                              OCPP over SOAP too, at http://127.0.0.1:9001
  chargy-agent csms --soap --ocpp 1.2                   one version, which is spoken over SOAP only
  chargy-agent csms --password CP-1=secret --journal central.jsonl

Exit code: 0 ended in order, 1 it cannot listen on this address, 2 an argument is wrong.
"""

COMMAND = Command(
    "csms", "Start a small central system (CSMS) for tests and demonstrations.", add_arguments, main, ABOUT
)
