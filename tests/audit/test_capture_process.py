"""The running process as the signer: container id, SPIFFE id, and a forked child that is itself."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

import pytest

from counterfoil.audit.capture import this_process
from counterfoil.audit.capture.process import container_id, spiffe_id
from counterfoil.schemas import SignerProcess

ID = secrets.token_hex(32)
TASK = f"{secrets.token_hex(16)}-1234567890"
OTHER = secrets.token_hex(32)

# A process of its own: forking one that has threads, as a test run may, is a warning and a risk.
FORKING = """
import os
from counterfoil.audit.capture import this_process
parent = this_process()
child = os.fork()
if child:
    os.waitpid(child, 0)
print(this_process().model_dump_json(), flush=True)
"""

BARE = """
import os, pathlib
from counterfoil.audit.capture import this_process
def unreadable(*_, **__):
    raise PermissionError
os.geteuid = lambda: 2**32 - 2
pathlib.Path.read_text = unreadable
os.environ["SPIFFE_ID"] = "spiffe://example.org/agent"
print(this_process().model_dump_json())
"""


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"12:pids:/docker/{ID}\n", ID),
        (f"0::/system.slice/docker-{ID}.scope\n", ID),
        (f"1:name=systemd:/kubepods/burstable/pod4a1e/{ID}\n", ID),
        (f"0::/kubepods.slice/kubepods-pod4a1e.slice/cri-containerd-{ID}.scope\n", ID),
        (f"0::/kubepods.slice/crio-{ID}.scope\n", ID),
        (f"0::/user.slice/user@1000.service/libpod-{ID}.scope/container\n", ID),
        (f"0::/docker/{OTHER}/docker/{ID}\n", ID),
        (f"9:memory:/ecs/{secrets.token_hex(16)}/{TASK}\n", TASK),
        (f"2:cpu:/\n1:cpuset:/docker/{ID}\n", ID),
        ("0::/\n", None),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
        (f"0::/docker/{ID[:-1]}\n", None),
        ("", None),
        ("no line of a control group", None),
    ],
)
def test_the_control_group_names_the_container(cgroup: str, container: str | None) -> None:
    """The id stands in the path of the control group, as each runtime writes it; of nested ones the innermost."""
    assert container_id(cgroup, "") == container


@pytest.mark.parametrize(
    ("mountinfo", "container"),
    [
        (f"678 655 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n", ID),
        (f"678 655 254:1 /docker/containers/{ID}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw\n", ID),
        (f"983 961 0:56 /containers/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n", ID),
        (f"60 29 254:1 /var/lib/docker/containers/{ID}/hostname /mnt/inspected rw - ext4 /dev/vda1 rw\n", None),
        (f"50 29 0:48 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n", None),
        (f"678 655 254:1 /var/lib/kubelet/pods/{ID}/etc-hosts /etc/hosts rw - ext4 /dev/vda1 rw\n", None),
        ("short line\n", None),
    ],
)
def test_mounted_files_name_the_container(mountinfo: str, container: str | None) -> None:
    """In a namespace the files mounted over /etc/hostname give it away; another container's mounts on a host do not."""
    assert container_id("0::/\n", mountinfo) == container


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("spiffe://example.org/agent/mail", True),
        ("spiffe://example.org", True),
        ("spiffe://Example.org/agent", False),
        ("spiffe://example.org/agent?x=1", False),
        ("spiffe://example.org/agent\n", False),
        (f"spiffe://example.org/{'a' * 600}", False),
        ("https://example.org", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_spiffe_id_is_a_workload_id(given: str | None, *, known: bool) -> None:
    """What has not the form of a SPIFFE ID is left out."""
    assert spiffe_id(given) == (given if known else None)


def test_this_process_knows_itself() -> None:
    """The process id is this one's, and the facts are the process's own word."""
    process = this_process()
    assert process.pid == os.getpid()
    assert process.host
    assert process.source == "self_asserted"
    assert this_process() is process


def test_what_is_not_known_is_left_out() -> None:
    """Without a /proc and without an entry for the user there is neither container nor user, and no error."""
    finished = subprocess.run([sys.executable, "-c", BARE], check=True, capture_output=True, text=True)
    process = SignerProcess.model_validate_json(finished.stdout)
    assert process.pid
    assert (process.container, process.user) == (None, None)
    assert process.workload_id == "spiffe://example.org/agent"


def test_a_forked_child_is_another_process() -> None:
    """A child does not inherit its parent's identity."""
    finished = subprocess.run([sys.executable, "-c", FORKING], check=True, capture_output=True, text=True)
    child, parent = (SignerProcess.model_validate_json(line) for line in finished.stdout.splitlines())
    assert child.pid != parent.pid
    assert child.executable == parent.executable == sys.executable
