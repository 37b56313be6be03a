"""From the wire to facts: which credentials a request shows, and which process sends it. No network, no clock."""

from .credentials import capture_credentials
from .facts import TokenFacts
from .observe import action_of, resource_of
from .process import this_process
from .raw import parse_raw_request
from .request import HttpRequest
from .sighting import Credential

__all__ = [
    "Credential",
    "HttpRequest",
    "TokenFacts",
    "action_of",
    "capture_credentials",
    "parse_raw_request",
    "resource_of",
    "this_process",
]
