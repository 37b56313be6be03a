"""Answering a reviewer's questions from the records alone."""

from .incident import About, Incident, gather_incident
from .pairing import Match, Sighting
from .remark import Remark, Rule
from .verdict import Sender, Verdict

__all__ = ["About", "Incident", "Match", "Remark", "Rule", "Sender", "Sighting", "Verdict", "gather_incident"]
