"""Answering a reviewer's questions from the records alone."""

from .incident import Incident, Sighting, gather_incident

__all__ = ["Incident", "Sighting", "gather_incident"]
