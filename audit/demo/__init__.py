"""The demo: real servers, a real agent and a thief on loopback, each a process of its own. Needs the extra ``demo``."""
