"""Transfer files by SFTP, with ``paramiko`` (``pip install 'chargy-agent[sftp]'``).

The key of the server has to be in the known hosts file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.services.files.transfer.address import Address
from agent.services.files.transfer.partial_file import PartialFile
from agent.services.files.transfer.progress import CHUNK, TransferControl, TransferFailed


def fetch_file(address: Address, part: PartialFile, going: TransferControl) -> None:
    """Fetch a file. Raise ``TransferFailed`` if that fails.

    The transfer goes on where an earlier attempt broke off if the file still has the same length and time.
    """
    with _open_session(address, going) as sftp:
        about = sftp.stat(address.file_path)
        tag = f"{about.st_size} {about.st_mtime}"
        begin = part.have if tag == part.tag and part.have <= (about.st_size or 0) else 0
        with sftp.open(address.file_path, "rb") as remote:
            remote.seek(begin)
            part.write_chunks(iter(lambda: remote.read(CHUNK), b""), going, about.st_size, begin, tag)


def send_file(address: Address, source: Path, going: TransferControl) -> None:
    """Send a file. Raise ``TransferFailed`` if that fails."""
    with _open_session(address, going) as sftp:
        sftp.put(str(source), address.file_path, callback=lambda done, whole: going.check_limits())


@contextlib.contextmanager
def _open_session(address: Address, going: TransferControl) -> Iterator[Any]:
    import paramiko

    user, password = address.secret or ("", "")
    client = paramiko.SSHClient()
    try:
        if going.known_hosts:
            client.load_host_keys(going.known_hosts)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            address.host, address.port, user, password,
            sock=going.open_connection(address.host, address.port),
            timeout=going.silence_s, allow_agent=False, look_for_keys=False,
        )  # fmt: skip
        going.set_hang_up(client.close)
        sftp = client.open_sftp()
        channel = sftp.get_channel()
        if channel is not None:
            channel.settimeout(going.silence_s)
        yield sftp
    except PermissionError as e:
        raise TransferFailed("PermissionDenied", f"{address.shown_url}: {e}") from e
    except (OSError, EOFError, paramiko.SSHException, paramiko.hostkeys.InvalidHostKey) as e:
        going.check_limits()
        denied = isinstance(e, paramiko.AuthenticationException | paramiko.BadHostKeyException)
        unknown = "not found in known_hosts" in str(e)
        raise TransferFailed(
            "PermissionDenied" if denied or unknown else "UploadFailure",
            f"{address.shown_url}: {type(e).__name__}: {e}",
        ) from e
    finally:
        client.close()
