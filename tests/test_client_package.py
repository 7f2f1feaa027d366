"""The Python client as a package: it builds without a network, and runs with httpx and nothing else."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import aiops_desk
import pytest

CLIENT = Path(__file__).parent.parent / "clients" / "python"
IMPORTS = "import aiops_desk, httpx; desk = aiops_desk.Desk('http://localhost', 'aod_some_key'); desk.close()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    # A copy, because a build writes beside its source.
    source = shutil.copytree(CLIENT, place / "source")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*pip, "-w", place, source], check=True)
    return next(place.glob("*.whl"))


def closure(name: str) -> set[str]:
    """The distribution and everything it needs, extras and other platforms left out."""
    found, open_ = set(), {name}
    while open_:
        one = open_.pop()
        found.add(one)
        needed = importlib.metadata.requires(one) or []
        names = {re.match(r"[\w.-]+", line)[0].lower() for line in needed if "extra ==" not in line}
        open_ |= {other for other in names - found if is_installed(other)}
    return found


def is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def test_the_wheel_holds_the_package_its_types_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "aiops_desk/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"aiops_desk", f"aiops_desk-{aiops_desk.__version__}.dist-info"}


def test_it_needs_httpx_and_nothing_else(wheel):
    text = zipfile.ZipFile(wheel).read(f"aiops_desk-{aiops_desk.__version__}.dist-info/METADATA").decode()
    assert re.findall(r"^Requires-Dist: (\w+)", text, re.MULTILINE) == ["httpx"]
    assert "Requires-Python: >=3.10" in text


def test_it_works_in_an_environment_with_httpx_alone(wheel, tmp_path):
    venv.create(tmp_path / "v", with_pip=False)
    python = tmp_path / "v" / "bin" / "python"
    site = Path(subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                                        text=True).strip())  # fmt: skip
    for name in closure("httpx"):
        for file in importlib.metadata.files(name) or []:
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), site / file)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", "-q"]
    subprocess.run([*pip, wheel], check=True)
    subprocess.run([python, "-I", "-c", IMPORTS], check=True)
    assert subprocess.run([python, "-I", "-c", "import django"], capture_output=True).returncode == 1


def test_the_types_are_strict():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "clients/python/pyproject.toml"],
        cwd=CLIENT.parent.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_pins_of_the_tests_are_what_the_package_allows():
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["httpx>=0.27,<1"]
    assert importlib.metadata.version("httpx").startswith("0.")
