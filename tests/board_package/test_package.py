"""The package itself: what is in it, how large it is, that the same sources give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import lzma
import os
import re
import shutil
import subprocess
import tomllib
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from agent.commands.check import check_station_file
from deb import build
from tests.support.board_package import ROOT, build_deb, run_dpkg_deb
from tests.support.busy_machine import stretched

MIB = 1024 * 1024
INSTALLED_AT_MOST = 40 * MIB
"""Beside Python, with the packages of Debian that come along."""
BROUGHT_ALONG = """
    libatomic1 libbrotli1 libdeflate0 libfreetype6 libfribidi0 libglib2.0-0t64 libgomp1 libgraphite2-3 libharfbuzz0b
    libimagequant0 libjbig0 libjpeg62-turbo liblcms2-2 liblerc4 libopenjp2-7 libpng16-16t64 libraqm0 libsharpyuv0
    libtiff6 libwebp7 libwebpdemux2 libwebpmux3 libxau6 libxcb1 libxdmcp6 python3-bcrypt python3-cffi-backend
    python3-cryptography python3-pil
""".split()  # noqa: SIM905
"""What apt installs with the package on a Debian 13 that has python3, systemd and udev only."""
UNCHECKED_HASH = 0b01


@pytest.fixture(scope="session")
def tree(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree") / "root"
    run_dpkg_deb("-R", deb, folder)
    return folder


def control(tree: Path) -> dict[str, str]:
    return dict(Parser().parsestr((tree / "DEBIAN" / "control").read_text()))


def site(tree: Path) -> Path:
    (found,) = tree.glob("opt/chargy-agent/venv/lib/python3.*/site-packages")
    return found


def test_the_same_sources_give_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    again = build_deb(tmp_path, TZ="Pacific/Chatham", PYTHONHASHSEED="7", LC_ALL="C", TMPDIR=str(tmp_path))
    assert again.name == deb.name
    assert hashlib.sha256(again.read_bytes()).hexdigest() == hashlib.sha256(deb.read_bytes()).hexdigest()


def test_it_is_small(tree: Path, deb: Path, record_property: pytest.RecordProperty) -> None:
    own = sum(p.lstat().st_size for p in tree.rglob("*") if p.is_file() and "DEBIAN" not in p.parts)
    said = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${Installed-Size}\n", *BROUGHT_ALONG],
        capture_output=True, text=True, timeout=stretched(30),
    )  # fmt: skip
    beside = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\S+) (\d+)$", said.stdout, re.MULTILINE)}
    if missing := set(BROUGHT_ALONG) - set(beside):
        pytest.skip(f"not installed, so that its size is not known: {sorted(missing)}")
    packed = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], capture_output=True, check=True).stdout
    download = len(lzma.compress(packed))  # as `make deb` packs it; the package of the tests is packed in a hurry
    record_property("download_mib", round(download / MIB, 1))
    record_property("installed_mib", round(own / MIB, 1))
    record_property("with_debian_mib", round((own + sum(beside.values())) / MIB, 1))
    assert own + sum(beside.values()) <= INSTALLED_AT_MOST
    assert int(control(tree)["Installed-Size"]) * 1024 >= own
    assert download < 5 * MIB, "it travels over GPRS"


def test_what_nothing_imports_is_left_out(tree: Path) -> None:
    for part in build.UNUSED_PARTS:
        assert (site(tree) / part).parent.is_dir()
        assert not (site(tree) / part).exists()
    names = [
        line.partition(",")[0] for r in site(tree).glob("*.dist-info/RECORD") for line in r.read_text().splitlines()
    ]
    assert any(name.startswith("websockets/client") for name in names)
    assert not [name for name in names if name.startswith(build.UNUSED_PARTS)]


def test_no_machine_code_and_all_bytecode(tree: Path) -> None:
    assert control(tree)["Architecture"] == "all"
    for path in (p for p in tree.rglob("*") if p.is_file() and not p.is_symlink()):
        with path.open("rb") as file:
            assert file.read(4) != b"\x7fELF", path
    modules = list(site(tree).rglob("*.py"))
    assert len(modules) > 500
    for module in modules:
        head = Path(importlib.util.cache_from_source(str(module))).read_bytes()[:8]
        assert head[:4] == importlib.util.MAGIC_NUMBER, module
        assert int.from_bytes(head[4:8], "little") == UNCHECKED_HASH, module


def test_the_unit_starts_what_is_there(tree: Path) -> None:
    unit = (tree / "usr/lib/systemd/system/chargy-agent.service").read_text()
    (command,) = re.findall(r"^ExecStart=(/\S+) run /etc/chargy-agent/station.toml$", unit, re.MULTILINE)
    assert (tree / command.lstrip("/")).stat().st_mode & 0o777 == 0o755
    assert "\nEnvironment=PYTHONNOUSERSITE=1\n" in unit, "an installation by hand has another script"
    assert not (tree / "etc").exists(), "no file of the operator is the package's"


def test_every_file_for_systemd_is_in_it(tree: Path) -> None:
    assert {p.name for p in (ROOT / "systemd").iterdir()} == {*build.SYSTEMD}
    for name, place in build.SYSTEMD.items():
        assert (tree / place).read_bytes() == (ROOT / "systemd" / name).read_bytes()


def test_nothing_of_the_machine_that_built_it(tree: Path) -> None:
    for path in (p for p in tree.rglob("*") if p.is_file() and not p.is_symlink()):
        assert str(ROOT).encode() not in path.read_bytes(), path
        assert b"chargy-deb-" not in path.read_bytes(), path
    listed = subprocess.run(
        ["find", str(tree), "-perm", "/6022", "!", "-type", "l"], capture_output=True, text=True, check=True
    )
    assert listed.stdout == "", "no file that others may write, none with the rights of its owner"


def test_what_it_needs_is_what_pyproject_says(tree: Path) -> None:
    needs = control(tree)["Depends"].split(", ")
    assert f"python3 (>= {build.MINOR}~)" in needs
    assert "python3-pil (>= 11)" in needs
    ranges = {r.name: r.specifier for r in build.own_requirements()}
    bundled, debian = build.closure()
    assert {*ranges} == {*(n for n in bundled if n in ranges), *debian}
    for name in bundled:
        assert (site(tree) / f"{name.replace('-', '_')}-{build.locked_version(name)}.dist-info").is_dir()
    assert all(ranges[n].contains(build.locked_version(n)) for n in ranges)


def test_a_range_as_debian_says_it() -> None:
    assert build.relations("x", SpecifierSet(">=43,<51")) == ["x (>= 43)", "x (<< 51~)"]
    assert build.relations("x", SpecifierSet("")) == ["x"]


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
def test_versions_sort_as_they_follow_each_other() -> None:
    a, b = (build.package_version("1", 1_790_000_000 + n, unreleased=True, changed=False) for n in (0, 60))
    changed = build.package_version("1", 1_790_000_060, unreleased=True, changed=True)
    released, second = (build.package_version(n, 1_790_000_120, unreleased=False, changed=False) for n in ("1", "2"))
    for older, newer in ((a, b), (b, changed), (changed, released), (released, second)):
        assert subprocess.run(["dpkg", "--compare-versions", older, "lt", newer]).returncode == 0, (older, newer)


def test_the_copyright_names_every_package(tree: Path) -> None:
    text = (tree / "usr/share/doc/chargy-agent/copyright").read_text()
    for name in build.closure()[0]:
        assert re.search(rf"authors of {name} \S+\nLicense: (?!see)\S", text), name
    news = gzip.decompress((tree / "usr/share/doc/chargy-agent/changelog.Debian.gz").read_bytes()).decode()
    assert news.startswith(f"chargy-agent ({control(tree)['Version']}) ")
    assert "make deb" in news


def test_the_example_is_wrong_until_it_has_an_id_and_then_good(tmp_path: Path) -> None:
    example = (ROOT / "deb/station.toml").read_text()
    path = tmp_path / "station.toml"
    path.write_text(example)
    _, problems = check_station_file(path)
    assert len(problems) == 1, problems
    assert "station.id" in str(problems[0])
    path.write_text(example.replace('id = ""', 'id = "LU-CHG-0001"'))
    assert check_station_file(path)[1] == []
    assert tomllib.loads(example)["station"]["state_dir"] == "/var/lib/chargy-agent"


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_finds_no_error(deb: Path) -> None:
    said = subprocess.run(
        ["lintian", "--fail-on", "error", "--allow-root", str(deb)], capture_output=True, text=True,
        timeout=stretched(240),
    )  # fmt: skip
    assert said.returncode == 0, said.stdout


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="Debian's python3 is not installed")
def test_nothing_in_the_home_of_the_user_runs_at_the_start(tree: Path, tmp_path: Path) -> None:
    """The agent may write into its home: what lies there must not be a part of the program."""
    script = tree / "opt/chargy-agent/venv/bin/chargy-agent"
    interpreter, *options = script.read_text().splitlines()[0].removeprefix("#!").split(" ", 1)
    python = tree / interpreter.lstrip("/")
    ask = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    minor = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=stretched(30)).stdout.strip()
    if minor != build.MINOR:
        pytest.skip(f"the package is for Python {build.MINOR}, Debian's here is {minor}")
    packages = tmp_path / f".local/lib/python{minor}/site-packages"
    packages.mkdir(parents=True)
    (packages / "x.pth").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    version = [*options, str(script), "--version"]
    said = subprocess.run([str(python), *version], capture_output=True, text=True, env=env, timeout=stretched(30))
    assert said.stdout.startswith("chargy-agent "), said.stderr
    assert not (tmp_path / "ran").exists()
    subprocess.run([str(python), "-c", ""], check=True, env=env, timeout=stretched(30))
    assert (tmp_path / "ran").exists(), "without the option it runs: the environment sees Debian's packages"
