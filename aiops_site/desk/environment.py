"""What the desk keeps beside its data: the secret key, desk.env for `manage.py`, desk.json for whoever asks."""

import json
import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step with `text`, readable by its owner only."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    fresh.replace(path)


def ensure_secret_key(data_dir: Path) -> None:
    """Make DATA_DIR/secret_key once; the settings read it when SECRET_KEY is not set."""
    path = data_dir / "secret_key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48) + "\n")


def write_desk_env(data_dir: Path, values: dict[str, str]) -> None:
    """Write desk.env, so that `manage.py` in a second terminal reaches this desk's servers; a shell can read it too."""
    lines = [f"{name}='{value}'\n" for name, value in values.items()]
    write_private(data_dir / "desk.env", "# Written by `make run` at every start.\n" + "".join(lines))


def write_state(data_dir: Path, url: str, children: dict[str, int], *, ready: bool) -> None:
    """Write desk.json: this process, its URL, its children by name (process ids), and whether it is up."""
    state = {"pid": os.getpid(), "url": url, "ready": ready, "children": children}
    write_private(data_dir / "desk.json", json.dumps(state, indent=1) + "\n")


def child_environment(data_dir: Path, values: dict[str, str]) -> dict[str, str]:
    """Environment of the children: ours, plus `values`, without libpq's own variables.

    PGPORT, PGHOST or PGOPTIONS set for another server would silently bend the connection to this one.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return inherited | {"DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"} | values
