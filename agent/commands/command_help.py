"""What ``chargy-agent COMMAND --help`` says: what it does, how it is called, what its exit code means."""

ABOUT = """\
Station-side OCPP agent for public EV charge points.

  chargy-agent simulate                     see a simulated station charge, in a page
  chargy-agent check station.toml           is this station file right? (says what is not, and where)
  chargy-agent drivers                      which drivers are installed, and their settings
  chargy-agent bench station.toml           its devices, simulated: to check, probe, verify without hardware
  chargy-agent probe station.toml           look at its devices: who are they, what is proven?
  chargy-agent verify station.toml          do they keep what the agent relies on? (speed, silence, spoilt replies)
  chargy-agent run station.toml             run a real station (systemd does this)
  chargy-agent faults list station.toml     what is wrong, and what to do about it
  chargy-agent dead list station.toml       what could not be delivered, and what to do with it
  chargy-agent payments list station.toml   what was charged to bank cards, and what is uncertain
  chargy-agent csms                         a small central system of our own, to test against

chargy-agent COMMAND --help says more of each. Exit code of all: 0 done, 1 something is wrong or has failed, 2 it cannot
be done (the station file, the arguments), 3 (probe, verify) not everything is proven, 130 interrupted by Ctrl-C.
"""

RUN = """\
Runs the station that a station file describes, until SIGTERM. systemd does this on a board (systemd/), "simulate" at a
desk. The log goes to standard error.

  chargy-agent run /etc/chargy-agent/station.toml

Exit code: 0 ended in order (SIGTERM, a reset that the backend has ordered, mains lost), 2 the station file is wrong,
the store cannot be used, or another agent runs with it: starting again does not help before that is corrected.
"""

CHECK = """\
Judges a station file before an agent runs with it: tables, settings, prices, devices and their maps, certificates,
files with secrets, and whether what it needs is installed. No device is opened, nothing is written or sent.

  chargy-agent check station.toml          each mistake on a line of its own: FILE:LINE:COLUMN: KEY: what is wrong
  chargy-agent check station.toml --json   the same for machines: {"v", "file", "good", "problems": [{"line", "column",
                                           "path", "message"}]}; line 0: it has no place in the file

Exit code: 0 the file is good, 2 it is not, or cannot be read.
"""

DRIVERS = """\
Lists the drivers that are installed, each with its role, its package, and the keys of its table in a station file:
those without = must be given, the others show their default. What is not installed is named with the command that
installs it.

  chargy-agent drivers              for people
  chargy-agent drivers --json       for machines, with the range or the choices of each key ("rules")

Exit code: 0 all can be used, 1 a driver is installed that cannot be used.
"""

PROBE = """\
Opens every device of a station through its driver and writes a page of evidence: who each is, and of meters and boards
class, MID marking, step of the register, freshness, monotonic count, plausibility. Release is never given; nothing is
written to a meter. Stop the agent first: two programs on one line read wrong.

  chargy-agent probe station.toml                          text, ten seconds per meter
  chargy-agent probe station.toml --seconds 120            under load, so that energy and power can be compared
  chargy-agent probe station.toml --only 'evse[1].meter'   one device
  chargy-agent probe station.toml --json page.json         for the audit as well

Exit code: 0 everything proven, 1 something failed, 2 it cannot be done, 3 nothing failed but not all is proven.
"""

DEAD = """\
Messages that are billed (a session's start, values, end) and that a backend has refused for good, or that could not be
read back, are no longer tried: they are kept in the dead-letter list. Nothing is lost until you say so.

  chargy-agent dead list   station.toml          what is there, and why
  chargy-agent dead show   station.toml 17 18    whole messages (card numbers masked)
  chargy-agent dead resend station.toml 17       into the queue again, at its old place; a session's start goes along
  chargy-agent dead resend station.toml --all    after the backend has been mended
  chargy-agent dead drop   station.toml 17       given up for good: its energy will not be billed

Works beside a running agent (as a member of its group) and while it is stopped (as its user).

Exit code: 0 done, 1 a number that was named is not there, 2 it cannot be done (no store, no right to it).
"""

PAYMENTS = """\
The journal of bank card payments: what was held, what was charged, what is uncertain.

  chargy-agent payments list   station.toml              all that are kept, oldest first
  chargy-agent payments show   station.toml PY3K9V0T1A2B  whole records (no card numbers: there are none)
  chargy-agent payments review station.toml PY3K9V0T1A2B  an uncertain one was looked at: its alarm goes

Nothing here charges or releases anything. Works beside a running agent (as a member of its group) and while it is
stopped (as its user).

Exit code: 0 done, 1 a payment that was named is not there, 2 it cannot be done (no store, no right to it).
"""

FAULTS = """\
What is wrong with the station, for a technician at the station.

  chargy-agent faults list  station.toml      what, where, what to do
  chargy-agent faults clear station.toml 2    what is latched at outlet 2 was looked at; without a number: all outlets

Only what is latched (a welded contactor, a residual current device that failed its test, a lock that jams again and
again) waits to be cleared; everything else goes by itself when its cause does. Nothing is talked away: the board must
not show it any more. Works beside a running agent (as a member of its group); "list" also while it is stopped.

Exit code: 0 nothing is wrong, or all was cleared; 1 something is; 2 it cannot be done.
"""

CSMS = """\
A central system of our own, for tests and demonstrations: it takes every station, says yes to known tokens, and keeps
what it was sent. Not for the street.

  chargy-agent csms                                     ws://127.0.0.1:9000, all versions
  chargy-agent csms --port 9100 --ocpp 2.0.1            one version
  chargy-agent csms --password CP-1=secret --journal central.jsonl

Exit code: 0 ended in order, 1 the address cannot be served on, 2 an argument is wrong.
"""
