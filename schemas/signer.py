"""Who could sign: where the key is kept, and which process used it. No protocol carries this; somebody asserts it."""

from __future__ import annotations

from .part import Part
from .values import Count, Flag, Name
from .vocabulary import AssertedBy, CustodyStore, Isolation


class KeyCustody(Part):
    """Where the key or secret is kept, and who else can use it."""

    store: CustodyStore = CustodyStore.UNKNOWN
    """Where it is kept."""
    exportable: Flag | None = None
    """Whether the key can be copied out of there. Absent: unknown."""
    isolation: Isolation = Isolation.UNKNOWN
    """Who shares it."""
    source: AssertedBy = AssertedBy.UNKNOWN
    """Who says so."""


class SignerProcess(Part):
    """The process that presented the credential."""

    pid: Count | None = None
    """Process id, in its own namespace."""
    executable: Name | None = None
    """Path of the executable."""
    user: Name | None = None
    """The account that it runs under."""
    host: Name | None = None
    """Host name."""
    container: Name | None = None
    """Container id, where there is one."""
    workload_id: Name | None = None
    """SPIFFE id, ``spiffe://trust-domain/path``."""
    is_tool_process: Flag | None = None
    """Whether a tool, rather than the agent itself, runs here. Absent: unknown."""
    source: AssertedBy = AssertedBy.UNKNOWN
    """Who says so."""
