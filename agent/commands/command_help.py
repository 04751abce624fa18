"""The texts of ``chargy-agent COMMAND --help``: what it does, how to call it, what its exit codes mean."""

ABOUT = """\
Station-side OCPP agent for public EV charge points.

  chargy-agent simulate                     watch a simulated station charge, in the browser
  chargy-agent check station.toml           check a station file: every mistake and its place
  chargy-agent drivers                      list the installed drivers and their settings
  chargy-agent bench station.toml           simulate its devices, to work without hardware
  chargy-agent probe station.toml           identify its devices and write a page of evidence
  chargy-agent verify station.toml          test its devices: speed, silence, corrupted replies
  chargy-agent run station.toml             run a real station (started by systemd)
  chargy-agent faults list station.toml     list the faults and what to do about them
  chargy-agent dead list station.toml       list messages that could not be delivered
  chargy-agent payments list station.toml   list the bank card payments and their states
  chargy-agent csms                         start a small central system (CSMS) to test against

chargy-agent COMMAND --help explains each command. Exit codes of all: 0 done, 1 something is wrong or has failed, 2 it
cannot be done (wrong station file or arguments), 3 (probe, verify) not everything is proven, 130 interrupted by Ctrl-C.
"""

RUN = """\
Run the station that a station file describes, until SIGTERM. On a board systemd starts it (systemd/), at a desk
"simulate" does. The log goes to standard error.

  chargy-agent run /etc/chargy-agent/station.toml

Exit code: 0 ended in order (SIGTERM, a reset by the backend, mains lost), 2 the station file is wrong, the store cannot
be used, or another agent uses it. Starting again does not help before that is corrected.
"""

CHECK = """\
Check a station file before an agent runs with it: tables, settings, prices, devices and their maps, certificates, files
with secrets, and whether the necessary packages are installed. No device is opened, nothing is written or sent.

  chargy-agent check station.toml          each mistake on a line of its own: FILE:LINE:COLUMN: KEY: what is wrong
  chargy-agent check station.toml --json   as JSON: {"v", "file", "good", "problems": [{"line", "column",
                                           "path", "message"}]}; line 0: no place in the file

Exit code: 0 the file is good, 2 it is not, or cannot be read.
"""

DRIVERS = """\
List the installed drivers, each with its role, its package, and the keys of its table in a station file. Keys without =
are required, the others show their default. For a missing package it
shows the command that installs it.

  chargy-agent drivers              as text
  chargy-agent drivers --json       as JSON, with the range or the choices of each key ("rules")

Exit code: 0 all drivers can be used, 1 an installed driver cannot be used.
"""

PROBE = """\
Open every device of a station through its driver and write a page of evidence: the identity of each device, and for
meters and boards class, MID marking, step of the register, freshness, monotonic count, plausibility. Release is never
given, nothing is written to a meter. Stop the agent first: two programs on one line get wrong readings.

  chargy-agent probe station.toml                          text, ten seconds per meter
  chargy-agent probe station.toml --seconds 120            under load, so that energy and power can be compared
  chargy-agent probe station.toml --only 'evse[1].meter'   one device
  chargy-agent probe station.toml --json page.json         also as JSON, for the audit

Exit code: 0 everything proven, 1 something failed, 2 it cannot be done, 3 nothing failed but not all is proven.
"""

DEAD = """\
Billing messages (start, values and end of a session) that a backend has refused for good, or that cannot be read from
the disk, are not sent again. They are kept in the list of dead letters until you drop them.

  chargy-agent dead list   station.toml          all dead letters, and why
  chargy-agent dead show   station.toml 17 18    whole messages (card numbers masked)
  chargy-agent dead resend station.toml 17       queue it again at its old place, with the start of its session
  chargy-agent dead resend station.toml --all    all, after the backend has been repaired
  chargy-agent dead drop   station.toml 17       delete it for good: its energy will not be billed

Works beside a running agent (as a member of its group) and while it is stopped (as its user).

Exit code: 0 done, 1 a given number does not exist, 2 it cannot be done (no store, no permission).
"""

PAYMENTS = """\
The journal of bank card payments: what was held, what was charged, what is uncertain.

  chargy-agent payments list   station.toml              all stored payments, oldest first
  chargy-agent payments show   station.toml PY3K9V0T1A2B  whole records (no card numbers: there are none)
  chargy-agent payments review station.toml PY3K9V0T1A2B  mark an uncertain payment as reviewed: ends its alarm

Nothing here charges or releases anything. Works beside a running agent (as a member of its group) and while it is
stopped (as its user).

Exit code: 0 done, 1 a given payment does not exist, 2 it cannot be done (no store, no permission).
"""

FAULTS = """\
The faults of the station, for a technician at the station.

  chargy-agent faults list  station.toml      what, where, what to do
  chargy-agent faults clear station.toml 2    clear the latched faults of outlet 2 after a review; without number: all

Only latched faults (a welded contactor, a residual current device that failed its test, a lock that jams again and
again) have to be cleared. All others end with their cause. A fault is cleared only if the board no longer shows it.
Works beside a running agent (as a member of its group); "list" also while it is stopped.

Exit code: 0 nothing is wrong, or all is cleared; 1 something is wrong; 2 it cannot be done.
"""

CSMS = """\
A small central system (CSMS) for tests and demonstrations. It accepts every station, authorizes known tokens, and
stores what it receives. Not for public charging.

  chargy-agent csms                                     ws://127.0.0.1:9000, all versions
  chargy-agent csms --port 9100 --ocpp 2.0.1            one version
  chargy-agent csms --password CP-1=secret --journal central.jsonl

Exit code: 0 ended in order, 1 it cannot listen on this address, 2 an argument is wrong.
"""
