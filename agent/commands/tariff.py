"""``chargy-agent tariff``: sign a file of ad-hoc tariffs, and check a signed one."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.commands.command import EXIT_CANNOT
from agent.domain.local_time import utc_text
from agent.domain.tariff import Tariff
from agent.domain.tariff_document import TariffDocument, UnusableTariff, write_json_text, write_tariff_fields
from agent.domain.tariff_file import TariffFile, read_tariff_file
from agent.model.command import Command

ABOUT = """\
Sign a file of ad-hoc tariffs with the operator's key, and check a signed one (docs/station-file.md, Tariff).

  chargy-agent tariff sign  prices.json   --key operator.pem   write prices.tariff, signed
  chargy-agent tariff check prices.tariff --key public.pem     whose signature it is, and what it sets

A station takes the file from an MQTT topic, or by UpdateFirmware, if its [tariff] names the public key in signed_by.
Which outlets may sell at these prices is the station's to judge: it refuses what the law forbids there.

Exit code: 0 done, 1 the file is wrong or not signed with this key, 2 it cannot be done (a file cannot be read).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("sign", "check"))
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--key", type=Path, required=True, help="PEM: the private key to sign with, or the public one")
    parser.add_argument("--output", "-o", type=Path, help="instead of FILE with the ending .tariff")


def run(options: argparse.Namespace) -> int:
    from agent.commands.audit.json_reading import RecordError
    from agent.services.keys.tariff_signature import UntrustedTariff

    try:
        if options.action == "sign":
            target = options.output or options.file.with_suffix(".tariff")
            print(_sign_file(options.file, options.key, target))
        else:
            for line in _check_file(options.file, options.key):
                print(line)
    except (UnusableTariff, UntrustedTariff) as e:
        print(f"{options.file}: {e}", file=sys.stderr)
        return 1
    except (OSError, UnicodeDecodeError, RecordError) as e:
        print(e, file=sys.stderr)
        return EXIT_CANNOT
    return 0


def _sign_file(source: Path, key_file: Path, target: Path) -> str:
    """Sign a file that is right; return what was done. Raises ``UnusableTariff``, ``RecordError``, ``OSError``."""
    from agent.commands.audit.audit_signing import read_private_key
    from agent.commands.audit.json_reading import RecordError
    from agent.services.keys.tariff_signature import sign_tariffs

    text = source.read_text("utf-8")
    file = read_tariff_file(text)
    lines = [*_tariff_lines(file)]
    key = read_private_key(key_file, lambda: getpass.getpass(f"passphrase of {key_file}: "))
    try:
        signed = sign_tariffs(text, key)
    except (ValueError, AttributeError) as e:
        raise RecordError(f"{key_file}: {e}") from None
    target.write_text(signed, "utf-8")
    return f"{target}: signed, number {file.sequence}, {len(lines)} tariffs"


def _check_file(source: Path, key_file: Path) -> Iterator[str]:
    from agent.services.keys.tariff_signature import read_signed_tariffs

    file = read_tariff_file(read_signed_tariffs(source.read_bytes(), key_file))
    yield f"signed with {key_file}; number {file.sequence}, for {', '.join(file.stations)}"
    yield from _tariff_lines(file)


def _tariff_lines(file: TariffFile) -> Iterator[str]:
    """Yield a line for each tariff. Raises ``UnusableTariff``: one of them is wrong at any station."""
    for document in file.documents:
        tariff = document.tariff_beside(Tariff()).tariff
        since = "" if document.valid_from_utc_s is None else f" from {utc_text(document.valid_from_utc_s)}"
        yield f"{document.id}{since}{_evses_text(document)}: {write_json_text(write_tariff_fields(tariff))}"


def _evses_text(document: TariffDocument) -> str:
    return f" at EVSE {', '.join(map(str, document.evses))}" if document.evses else ""


COMMAND = Command("tariff", "Sign a file of ad-hoc tariffs, or check one.", add_arguments, run, ABOUT)
