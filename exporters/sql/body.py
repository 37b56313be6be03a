"""What the database reads out of a body: one element for each question, written for SQLite and for PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, LargeBinary, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class FromBody(ColumnElement[str]):
    """The text at the first of ``paths`` (dotted member names) that the body has. Of an array its JSON."""

    inherit_cache = False

    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self.type = Text()


@compiles(FromBody, "sqlite")
def _sqlite(element: FromBody, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 -- SQLAlchemy's signature
    found = [f"json_extract(body, '$.{path}')" for path in element.paths]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


@compiles(FromBody, "postgresql")
def _postgresql(element: FromBody, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 -- as above
    found = [f"(body::jsonb #>> '{{{path.replace('.', ',')}}}')" for path in element.paths]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


class NumberFromBody(ColumnElement[int]):
    """The whole number at ``path``."""

    inherit_cache = False

    def __init__(self, path: str) -> None:
        self.text = FromBody(path)
        self.type = BigInteger()


@compiles(NumberFromBody, "sqlite")
def _sqlite_number(element: NumberFromBody, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.text, **options)


@compiles(NumberFromBody, "postgresql")
def _postgresql_number(element: NumberFromBody, compiler: SQLCompiler, **options: Any) -> str:
    return f"{compiler.process(element.text, **options)}::bigint"


class BodyBytes(ColumnElement[bytes]):
    """The body to the byte: one that was damaged need not be text any more."""

    inherit_cache = False
    type = LargeBinary()


@compiles(BodyBytes, "sqlite")
def _sqlite_bytes(element: BodyBytes, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 -- as above
    return "CAST(body AS BLOB)"


@compiles(BodyBytes, "postgresql")
def _postgresql_bytes(element: BodyBytes, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 -- as above
    return "convert_to(body, 'UTF8')"


class HasAudience(ColumnElement[bool]):
    """Whether ``value`` is one of the token's audiences."""

    inherit_cache = False

    def __init__(self, value: ColumnElement[Any]) -> None:
        self.value = value
        self.type = Boolean()


@compiles(HasAudience, "sqlite")
def _sqlite_audience(element: HasAudience, compiler: SQLCompiler, **options: Any) -> str:
    value = compiler.process(element.value, **options)
    return f"{value} IN (SELECT value FROM json_each(body, '$.token.audience'))"  # noqa: S608 -- a bound parameter


@compiles(HasAudience, "postgresql")
def _postgresql_audience(element: HasAudience, compiler: SQLCompiler, **options: Any) -> str:
    return f"(body::jsonb #> '{{token,audience}}') @> to_jsonb({compiler.process(element.value, **options)}::text)"


class ChecksEndedSo(ColumnElement[bool]):
    """Whether every check of ``wanted``, a JSON array of ``{"id", "outcome"}``, ended so. One statement for any."""

    inherit_cache = False

    def __init__(self, wanted: ColumnElement[Any]) -> None:
        self.wanted = wanted
        self.type = Boolean()


@compiles(ChecksEndedSo, "sqlite")
def _sqlite_checks(element: ChecksEndedSo, compiler: SQLCompiler, **options: Any) -> str:
    id_and_outcome = "SELECT json_extract(value, '$.id'), json_extract(value, '$.outcome') FROM json_each"
    wanted = f"{id_and_outcome}({compiler.process(element.wanted, **options)})"
    return f"NOT EXISTS ({wanted} EXCEPT {id_and_outcome}(body, '$.proof.checks'))"


@compiles(ChecksEndedSo, "postgresql")
def _postgresql_checks(element: ChecksEndedSo, compiler: SQLCompiler, **options: Any) -> str:
    wanted = compiler.process(element.wanted, **options)
    return f"coalesce(body::jsonb #> '{{proof,checks}}', '[]') @> {wanted}::jsonb"
