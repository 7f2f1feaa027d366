"""Become a command that dies with its supervisor: leash.py PARENT_PID SIGNAL USER COMMAND…

Run by file name with `python -I -S`, so that it costs about ten milliseconds. It drops to USER (empty: stays), asks the
kernel to send SIGNAL when the parent goes (Linux only, even after kill -9), and executes COMMAND in its own place.
A `preexec_fn` would do the same inside the supervisor's fork, where only async-signal-safe code is safe.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def drop_to(name: str) -> None:
    """Give up root for the user `name`, groups included."""
    user = pwd.getpwnam(name)
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def tie_to(parent: int, signum: int) -> None:
    """Have the kernel send `signum` when `parent` dies; after drop_to, because a change of user clears the wish."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        sys.exit("The supervisor is gone.")


def main(parent: str, signum: str, user: str, *command: str) -> None:
    if user:
        drop_to(user)
    tie_to(int(parent), int(signum))
    os.execvp(command[0], command)  # noqa: S606 - the whole point: no process in between


if __name__ == "__main__":
    main(*sys.argv[1:])
