"""Build the Debian package: ``make deb``, or ``python -m deb.build --out FOLDER``. The reasons are in
docs/decisions/0043-debian-package.md.

The package is one environment of Python under /opt/chargy-agent/venv. What is pure Python comes from wheels of the
versions in requirements.lock, what is compiled comes from Debian's own packages: so one package serves every
architecture. The interpreter that runs this must be of the minor version that the target has.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "deb"
HOME = Path("/opt/chargy-agent/venv")
FROM_DEBIAN = {"cryptography": "python3-cryptography", "pillow": "python3-pil"}
"""Packages of Python that are compiled."""
UNUSED_PARTS = (
    "pymodbus/server/", "qrcode/tests/", "serial/urlhandler/", "websockets/legacy/",
    "websockets/sync/", "websockets/trio/",
)  # fmt: skip
"""Parts of bundled packages that nothing on a board imports: 1.3 MB."""
DESK_PARTS = ("drivers/sim/", "agent/fleet/", "agent/commands/fleet/", "agent/desk/", "config/fleets/")
"""Our own parts that no board needs: two megabytes. Their commands (``simulate``, ``bench``, ``fleet``) are entry
points, which go with them."""
FROM_SOURCE: dict[str, dict[str, str]] = {"pydes": {}, "dbus-fast": {"SKIP_CYTHON": "1"}}
"""Pure Python, but its makers publish no wheel of that: how to build one."""
EXTRAS = ("mqtt", "dbus")
"""Of pyproject.toml. Of ``sftp``, ``page`` and ``soap`` Debian has the packages (Suggests); what panels on SPI need has
no version there that fits, and PDFs are printed at a desk."""
COMPRESSION = {"small": "xz", "quick": "zstd"}
"""Of dpkg-deb: 4.6 MiB after 10 s of work, 6.3 after half a second. Both are unpacked by Debian 12 and later."""
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
MAINTAINER = "chargy-agent maintainers <maintainers@chargy-agent.example>"
SYSTEMD = {
    "chargy-agent.service": "usr/lib/systemd/system/chargy-agent.service",
    "chargy-agent.sysusers.conf": "usr/lib/sysusers.d/chargy-agent.conf",
    "chargy-agent.tmpfiles.conf": "usr/lib/tmpfiles.d/chargy-agent.conf",
    "70-chargy-agent.rules": "usr/lib/udev/rules.d/70-chargy-agent.rules",
    **{
        name: f"usr/share/chargy-agent/{name}"
        for name in (
            "50-chargy-agent-network.rules",
            "dbus-rauc-chargy-agent.conf",
            "journald-chargy-agent.conf",
            "polkit-reboot-chargy-agent.rules",
        )
    },
}
"""Of systemd/: where it goes. What gives the agent rights over other services, or holds for the whole machine, is an
example: its operator copies it where the station needs it."""


@dataclass(frozen=True)
class Bundled:
    """A package of Python in the environment: ``wheel`` is its file."""

    name: str
    version: str
    wheel: Path
    license: str


class CannotBuild(Exception):
    """``str()`` says what is missing."""

    exit_code = 2


class CannotFetch(CannotBuild):
    """No package index answers, and a wheel has not been fetched before."""

    exit_code = 3


# --- what belongs to it -----------------------------------------------------------------------------------------------


def own_requirements() -> list[Requirement]:
    """Return what pyproject.toml names for a board."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [*project["dependencies"], *(r for extra in EXTRAS for r in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in named]


def requirements_of(name: str) -> list[Requirement]:
    """Return what a package needs without extras."""
    found = [Requirement(text) for text in distribution(name).requires or ()]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def closure() -> tuple[list[str], dict[str, SpecifierSet]]:
    """Return the names of what is bundled, and what is needed of Debian with its range of versions."""
    bundled: list[str] = []
    debian: dict[str, SpecifierSet] = {}
    waiting = own_requirements()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in FROM_DEBIAN:
            debian[name] = debian.get(name, SpecifierSet()) & one.specifier
        elif name not in bundled:
            bundled.append(name)
            waiting += requirements_of(name)
    return sorted(bundled), dict(sorted(debian.items()))


def relations(package: str, specifier: SpecifierSet) -> list[str]:
    """Return a range of versions as Debian says it."""
    words = {">=": ">= {}", ">": ">> {}", "<": "<< {}~", "<=": "<= {}"}
    said = [f"{package} ({words[s.operator].format(s.version)})" for s in specifier if s.operator in words]
    return sorted(said, reverse=True) or [package]


# --- wheels -----------------------------------------------------------------------------------------------------------


def run_pip(*words: str | Path, env: dict[str, str] | None = None) -> None:
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        kind = CannotFetch if re.search(r"Retrying \(|ConnectionError|ReadTimeout", done.stderr) else CannotBuild
        raise kind(f"pip {words[0]}: {done.stderr.strip() or done.stdout.strip()}")


def find_wheel(folder: Path, name: str, version: str) -> Path | None:
    for wheel in sorted(folder.glob("*.whl")):
        found, found_version, *_ = parse_wheel_filename(wheel.name)
        if found == name and str(found_version) == version:
            return wheel
    return None


def fetch_wheel(folder: Path, name: str, version: str) -> Path:
    """Return the wheel of pure Python; what was fetched before is not fetched again."""
    if found := find_wheel(folder, name, version):
        return found
    what = f"{name}=={version}"
    if name in FROM_SOURCE:
        words = ("--no-deps", "--no-cache-dir", "--no-binary", name, "--wheel-dir", folder)
        run_pip("wheel", *words, what, env=FROM_SOURCE[name])
    else:
        any_machine = ("--implementation", "py", "--abi", "none", "--platform", "any", "--python-version", MINOR)
        run_pip("download", "--no-deps", "--only-binary=:all:", *any_machine, "--dest", folder, what)
    wheel = find_wheel(folder, name, version)
    if wheel is None or machine_code(wheel):
        raise CannotBuild(f"{what}: it has no wheel of pure Python; name Debian's package of it in FROM_DEBIAN")
    return wheel


def machine_code(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".pyd"))]


def own_wheel(folder: Path) -> Path:
    """Build the agent's own wheel from a copy: a build in the tree itself would leave its folders there."""
    tree = folder / "tree"
    for name in ("agent", "drivers", "config"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    words = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    run_pip("wheel", *words, tree, env={"PYTHONHASHSEED": "0"})  # setup.py compiles
    (wheel,) = folder.glob("chargy_agent-*.whl")
    return wheel


def locked_version(name: str) -> str:
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines():
        found, _, version = line.partition("==")
        if canonicalize_name(found) == name:
            return version
    raise CannotBuild(f"requirements.lock has no {name}: make lock")


def license_of(name: str) -> str:
    """Return the licence that the package's own metadata names."""
    said = distribution(name).metadata
    if found := said.get("License-Expression"):
        return str(found)
    classes = [c.rpartition(" :: ")[2] for c in said.get_all("Classifier", []) if c.startswith("License ::")]
    return ", ".join(classes) or str(said.get("License") or "see its metadata").splitlines()[0]


def bundle(names: Sequence[str], folder: Path) -> list[Bundled]:
    folder.mkdir(parents=True, exist_ok=True)
    return [Bundled(n, v := locked_version(n), fetch_wheel(folder, n, v), license_of(n)) for n in names]


# --- the tree ---------------------------------------------------------------------------------------------------------


def fill_environment(root: Path, wheels: Sequence[Path], scratch: Path) -> None:
    """Make the environment: an interpreter that is the target's, the packages, and their bytecode."""
    venv = root / HOME.relative_to("/")
    site = venv / "lib" / f"python{MINOR}" / "site-packages"
    site.mkdir(parents=True)
    for wheel in wheels:
        shutil.copy(wheel, scratch)
    names = [parse_wheel_filename(w.name)[0] for w in wheels]  # by name: by path the path would be written down
    quietly = ("--no-deps", "--no-compile", "--no-index", "--find-links", scratch, "--target", site)
    run_pip("install", *quietly, *names, env={"PIP_FIND_LINKS": "", "PYTHONDONTWRITEBYTECODE": "1"})
    shutil.rmtree(site / "bin", ignore_errors=True)
    leave_out_parts(site)
    compile_tree(site)
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {MINOR}\n")
    (venv / "bin").mkdir()
    (venv / "bin" / "python3").symlink_to("/usr/bin/python3")
    script = venv / "bin" / "chargy-agent"
    script.write_text(  # -s: the environment sees Debian's packages, but none in the home of the agent's user
        f"#!{HOME}/bin/python3 -s\nimport sys\n\nfrom agent.cli import main\n\n"
        'if __name__ == "__main__":\n    sys.exit(main())\n'
    )
    script.chmod(0o755)


def leave_out_parts(site: Path) -> None:
    """Remove the ``UNUSED_PARTS`` of other packages and our ``DESK_PARTS``, their lines from the lists of files, and
    their entry points."""
    parts = UNUSED_PARTS + DESK_PARTS
    modules = tuple(part.replace("/", ".") for part in DESK_PARTS)
    for part in parts:
        shutil.rmtree(site / part)
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text("utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(parts)), "utf-8")
    for entries in site.glob("chargy_agent-*.dist-info/entry_points.txt"):
        lines = entries.read_text("utf-8").splitlines(keepends=True)
        kept = (line for line in lines if not line.rpartition("=")[2].strip().startswith(modules))
        entries.write_text("".join(kept), "utf-8")


def compile_tree(site: Path) -> None:
    """Compile the packages, believed without a look at the source (docs/decisions/0010); the agent's own are compiled
    in its wheel."""
    where = HOME / site.relative_to(site.parents[2])
    argv = [sys.executable, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    argv += ["-s", str(site), "-p", str(where), "-x", f"^{re.escape(str(site))}/(agent|drivers|config)/", str(site)]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})
    if done.returncode:
        raise CannotBuild(f"a module does not compile:\n{done.stdout}{done.stderr}")


def fill_system(root: Path) -> None:
    """Put what systemd, udev and people find: units, the command, the example of a station file."""
    for name, place in SYSTEMD.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "systemd" / name, root / place)
    shutil.copy(FILES / "station.toml", root / "usr/share/chargy-agent/station.toml")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/chargy-agent").symlink_to(HOME / "bin" / "chargy-agent")
    overrides = root / "usr/share/lintian/overrides"
    overrides.mkdir(parents=True)
    shutil.copy(FILES / "lintian-overrides", overrides / "chargy-agent")


def fill_documents(root: Path, version: str, epoch: int, bundled: Sequence[Bundled]) -> None:
    doc = root / "usr/share/doc/chargy-agent"
    doc.mkdir(parents=True)
    (doc / "copyright").write_text(copyright_text(bundled), "utf-8")
    news = changelog_text(version, epoch).encode()
    (doc / "changelog.Debian.gz").write_bytes(gzip.compress(news, 9, mtime=0))
    (doc / "changelog.gz").write_bytes(gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), 9, mtime=0))
    sums = [f"{hashlib.sha256(b.wheel.read_bytes()).hexdigest()}  {b.wheel.name}" for b in bundled]
    (doc / "wheels.sha256").write_text("".join(f"{line}\n" for line in sums))


def copyright_text(bundled: Sequence[Bundled]) -> str:
    """Return the copyright file, in Debian's machine-readable form."""
    parts = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: chargy-agent\n",
        "Files: *\nCopyright: the chargy-agent maintainers\nLicense: Apache-2.0\n",
    ]
    site = HOME.relative_to("/") / "lib" / f"python{MINOR}" / "site-packages"
    for one in bundled:
        info = f"{one.name.replace('-', '_')}-{one.version}.dist-info"
        parts.append(
            f"Files: {site}/{one.name.replace('-', '_')}/*\nCopyright: the authors of {one.name} {one.version}\n"
            f"License: {one.license}\nComment: named in {info}; the text of the licence lies there or at\n"
            f" https://pypi.org/project/{one.name}/{one.version}/\n"
        )
    parts.append("License: Apache-2.0\n On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n")
    return "\n".join(parts)


def changelog_text(version: str, epoch: int) -> str:
    """Return the newest section of CHANGELOG.md as a changelog of Debian."""
    section = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)[1]
    entries = [" ".join(e.split()) for e in re.findall(r"^- (.*(?:\n  .*)*)", section, re.MULTILINE)]
    lines = [textwrap.fill(e, 78, initial_indent="  * ", subsequent_indent="    ") for e in entries]
    date = formatdate(epoch, localtime=False).replace("-0000", "+0000")
    return f"chargy-agent ({version}) stable; urgency=medium\n\n" + "\n".join(lines) + f"\n\n -- {MAINTAINER}  {date}\n"


# --- the package ------------------------------------------------------------------------------------------------------


def control_text(version: str, debian: dict[str, SpecifierSet], installed_kib: int) -> str:
    following = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
    depends = [
        f"python3 (>= {MINOR}~)",
        f"python3 (<< {following})",
        "systemd (>= 252)",
        "init-system-helpers (>= 1.54)",
    ]
    depends += [r for name, wanted in debian.items() for r in relations(FROM_DEBIAN[name], wanted)]
    return (
        f"Package: chargy-agent\nVersion: {version}\nArchitecture: all\nMaintainer: {MAINTAINER}\n"
        f"Installed-Size: {installed_kib}\nDepends: {', '.join(depends)}\n"
        "Recommends: libusb-1.0-0, tzdata, udev\n"
        "Suggests: modemmanager, network-manager, polkitd, ppp, python3-aiohttp, python3-defusedxml, python3-paramiko,"
        " rauc\n"
        "Section: net\nPriority: optional\n"
        "Description: station-side OCPP agent for public EV charge points\n"
        " The program on the controller board of a charging station. It talks OCPP to the\n"
        " backend, reads the billing meter and the badges, shows the driver what happens,\n"
        " and loses no transaction when power, network or the program goes away.\n"
    )


def package_version(revision: str, epoch: int, unreleased: bool, changed: bool) -> str:
    """Return the version of the package. One that is not released sorts before it, and by the time of its commit."""
    from agent import __version__

    snapshot = (
        f"~{datetime.fromtimestamp(epoch, UTC):%Y%m%d%H%M%S}{'+changed' if changed else ''}" if unreleased else ""
    )
    return f"{__version__}{snapshot}-{revision}+py{MINOR.replace('.', '')}"


def read_git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def source_epoch() -> int:
    """Return SOURCE_DATE_EPOCH: of the environment, else of the commit."""
    said = os.environ.get("SOURCE_DATE_EPOCH") or read_git("log", "-1", "--format=%ct")
    if not said.isdecimal():
        raise CannotBuild("set SOURCE_DATE_EPOCH (seconds): this is no git repository")
    return int(said)


def settle_files(root: Path, epoch: int) -> None:
    """Give every file the time of the sources, and rights that do not depend on the umask."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))
    root.chmod(0o755)


def installed_size_kib(root: Path) -> int:
    """Return the size as dpkg counts it: files by KiB begun, 1 KiB for everything else."""
    paths = [p for p in root.rglob("*") if "DEBIAN" not in p.relative_to(root).parts]
    return sum(-(-p.stat().st_size // 1024) if p.is_file() and not p.is_symlink() else 1 for p in paths)


def fill_control(root: Path, version: str, debian: dict[str, SpecifierSet]) -> None:
    files = sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
    sums = [f"{hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest()}  {p.relative_to(root)}" for p in files]
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(control_text(version, debian, installed_size_kib(root)))
    (control / "md5sums").write_text("".join(f"{line}\n" for line in sums))
    for name in ("postinst", "prerm", "postrm"):
        shutil.copy(FILES / name, control / name)
        (control / name).chmod(0o755)


def build_package(out: Path, wheels: Path, revision: str, changed: bool, compression: str) -> Path:
    """Build the package and return its file. Raises ``CannotBuild``."""
    if shutil.which("dpkg-deb") is None:
        raise CannotBuild("dpkg-deb is not installed: apt-get install dpkg")
    epoch = source_epoch()
    unreleased = (
        "(not released yet)" in (ROOT / "CHANGELOG.md").read_text("utf-8").partition("\n## ")[2].partition("\n")[0]
    )
    version = package_version(revision, epoch, unreleased, changed)
    names, debian = closure()
    bundled = bundle(names, wheels)
    with tempfile.TemporaryDirectory(prefix="chargy-deb-") as folder:
        root, scratch = Path(folder, "root"), Path(folder, "wheels")
        scratch.mkdir()
        fill_environment(root, [own_wheel(Path(folder)), *(b.wheel for b in bundled)], scratch)
        fill_system(root)
        fill_documents(root, version, epoch, bundled)
        fill_control(root, version, debian)
        settle_files(root, epoch)
        out.mkdir(parents=True, exist_ok=True)
        file = out / f"chargy-agent_{version}_all.deb"
        argv = ["dpkg-deb", "--root-owner-group", f"-Z{COMPRESSION[compression]}", "--build", str(root), str(file)]
        done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
        if done.returncode:
            raise CannotBuild(f"dpkg-deb: {done.stderr}")
    return file


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make deb", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the package (dist)")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build" / "wheels", help="what was fetched is kept here")
    parser.add_argument("--revision", default="1", help="of the package: higher for another build of one version")
    parser.add_argument("--compression", choices=sorted(COMPRESSION), default="small", help="of the package (small)")
    options = parser.parse_args(argv)
    try:
        file = build_package(
            options.out, options.wheels, options.revision, bool(read_git("status", "--porcelain")), options.compression
        )
    except CannotBuild as e:
        print(f"make deb: {e}", file=sys.stderr)
        return e.exit_code
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
