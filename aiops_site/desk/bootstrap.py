"""Make .venv and install the pinned requirements; skip both when nothing changed.

Run by file name with whatever Python the machine has, so it uses the standard library only and keeps to a syntax that
an old Python can parse far enough to print why it is too old.
"""

import hashlib
import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
UV = "uv==0.13.8"


def stamp(names):
    """Hash of the requirement files and of the Python that installs them."""
    digest = hashlib.sha256(sys.version.encode())
    for name in names:
        with open(os.path.join(ROOT, name), "rb") as lines:
            digest.update(lines.read())
    return digest.hexdigest()


def up_to_date(path, wanted):
    """True when the stamp at `path` says `wanted` and the environment's Python still starts."""
    try:
        with open(path) as kept:
            same = kept.read() == wanted
        return same and subprocess.call([PYTHON, "-c", ""]) == 0
    except OSError:
        return False


def make_venv():
    """Create .venv; replaces one whose Python is gone or another one."""
    if not os.access(ROOT, os.W_OK):
        sys.exit("%s cannot be written, and .venv goes there. Use a copy of your own." % ROOT)  # noqa: UP031
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.call([sys.executable, "-m", "venv", VENV]) != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "This Python cannot make virtual environments (see above).\n"
            "On Debian and Ubuntu: apt-get install python3-venv, then run this again."
        )


def install(name):
    """Install `name` into .venv: by uv, which takes a fifth of pip's time; by pip where uv cannot."""
    sys.stdout.write("Installing %s into .venv ...\n" % name)  # noqa: UP031 - an old Python must parse this
    sys.stdout.flush()
    wanted = ["-r", os.path.join(ROOT, name)]
    pip = [PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    by_uv = [os.path.join(VENV, "bin", "uv"), "pip", "install", "--python", PYTHON]
    if quietly(pip + [UV]) and quietly(by_uv + wanted):  # noqa: RUF005 - see above
        return
    if subprocess.call(pip + wanted) != 0:
        sys.exit(
            "pip could not install %s (see above). It needs a way to PyPI: a network, or a mirror named by\n"  # noqa: UP031
            "PIP_INDEX_URL. Nothing was started; run the same command again to go on." % name
        )


def quietly(command):
    """Whether a command that may fail did not; pip's own mirror holds for uv too."""
    mirror = os.environ.get("PIP_INDEX_URL")
    known = dict({"UV_DEFAULT_INDEX": mirror} if mirror else {}, **os.environ)
    with open(os.devnull, "w") as nowhere:
        try:
            return subprocess.call(command, stdout=nowhere, stderr=nowhere, env=known) == 0
        except OSError:
            return False


def same_python():
    """True when .venv runs this very version of Python."""
    try:
        return subprocess.check_output([PYTHON, "-c", "import sys; print(sys.version)"]).decode().strip() == sys.version
    except (OSError, subprocess.CalledProcessError):
        return False


def main(argv):
    if sys.version_info < OLDEST:
        sys.exit(
            "AI Ops Desk needs Python 3.11 or newer; %s is Python %d.%d.\n"  # noqa: UP031
            "Install one and name it: make run PYTHON=/path/to/python3.11"
            % (sys.executable, sys.version_info[0], sys.version_info[1])
        )
    name = "requirements-dev.txt" if "--dev" in argv else "requirements.txt"
    wanted = stamp(["requirements.txt", "requirements-dev.txt"] if "--dev" in argv else ["requirements.txt"])
    path = os.path.join(VENV, "." + name + ".stamp")
    if up_to_date(path, wanted):
        return
    if not same_python():
        make_venv()
    install(name)
    with open(path, "w") as kept:
        kept.write(wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
