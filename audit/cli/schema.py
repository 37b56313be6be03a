"""``counterfoil schema``: the JSON Schema of every event."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON Schema of the events."""
    import json

    from counterfoil.schemas import event_json_schema

    typer.echo(json.dumps(event_json_schema(), indent=2, sort_keys=True, ensure_ascii=False))
