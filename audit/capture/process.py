"""The running process as the signer: what it can say of itself, and nothing that it would have to guess.

A process's word about itself is ``self_asserted``. Of the environment one variable is read, ``SPIFFE_ID``, which
launchers set by habit; the SPIFFE standards themselves only define where to ask (``SPIFFE_ENDPOINT_SOCKET``).
"""

from __future__ import annotations

import os
import re
import socket
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

from counterfoil.schemas import AssertedBy, SignerProcess

from .claims import MAX_NAME, name_of

_PROC: Final = Path("/proc/self")

# A step of a control group's path, as Docker, containerd, CRI-O, Podman and ECS name it.
_CGROUP = re.compile(r"[/-]([0-9a-f]{64}|[0-9a-f]{32}-[0-9]{1,20})(?=\.scope|/|$)")

# Where the runtime keeps what it mounts over /etc/hostname and its like: the folder is named for the container.
_MOUNTED_FROM = re.compile(r"/(?:containers|overlay-containers)/([0-9a-f]{64})/")
_MOUNTED_OVER: Final = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})

# SPIFFE-ID §2: a trust domain in lower case, then path segments.
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)*")


def this_process() -> SignerProcess:
    """Return this process. Read once a process: a forked child finds itself anew."""
    return _process(os.getpid())


@lru_cache(maxsize=1)
def _process(pid: int) -> SignerProcess:
    return SignerProcess(
        pid=pid,
        executable=name_of(sys.executable),
        user=_user(),
        host=name_of(socket.gethostname()),
        container=container_id(_read("cgroup"), _read("mountinfo")),
        workload_id=spiffe_id(os.environ.get("SPIFFE_ID")),
        source=AssertedBy.SELF_ASSERTED,
    )


def container_id(cgroup: str, mountinfo: str) -> str | None:
    """Return the container's id from ``/proc/self/cgroup``, or from ``/proc/self/mountinfo`` where that hides it.

    In a control group namespace the first only says ``0::/``; then the files mounted from outside give the id away.
    """
    for line in cgroup.splitlines():
        if ids := _CGROUP.findall(line.split(":", 2)[-1]):
            return str(ids[-1])  # of nested containers the innermost
    for line in mountinfo.splitlines():
        fields = line.split(" ", 5)
        if len(fields) == 6 and fields[4] in _MOUNTED_OVER and (match := _MOUNTED_FROM.search(fields[3])):
            return match[1]
    return None


def spiffe_id(given: str | None) -> str | None:
    """Return ``given`` if it is a SPIFFE ID that a record can hold whole."""
    return given if given and len(given) <= MAX_NAME and _SPIFFE.fullmatch(given) else None


def _user() -> str | None:
    try:
        import pwd

        return name_of(pwd.getpwuid(os.geteuid()).pw_name)
    except (ImportError, KeyError):  # no such list on Windows; no such entry in many containers
        return None


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
