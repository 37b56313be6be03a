"""Every error that Counterfoil raises, as one tree. This module imports nothing of Counterfoil.

::

    CounterfoilError
    ├── InputError                what the caller gave cannot be recorded; nothing was written
    │   ├── InvalidEvent          a field is missing, unknown or of the wrong shape
    │   ├── InvalidDigest         a raw value stands where a fingerprint, thumbprint or digest belongs
    │   ├── OutOfDomain           a value has no exact, portable JSON form (NaN, NUL, too deep …)
    │   ├── EventTooLarge         the event is over the limit
    │   ├── SealingFailed         something raised while the entry was made, such as a redactor of the caller's own
    │   ├── EventConflict         the event_id is taken by an event with other content
    │   ├── EntryRefused          the database has a rule that this entry breaks
    │   ├── InvalidRequest        a raw HTTP request cannot be read
    │   └── AlreadyDecided        the approval has its decision
    ├── SigningKeyError           the signing key cannot be read, can be read by others, or does not sign
    ├── InvalidNote               a checkpoint, note or verifier key does not have its form (C2SP)
    ├── WitnessRefused            a checkpoint contradicts one that a witness store holds
    ├── StoreError                the store
    │   ├── AuditUnavailable      it cannot take the entry now: do not act
    │   │   └── DiskFull          because there is no space left
    │   ├── AuditTimeout          the deadline passed and the outcome is unknown: retry with the same event_id
    │   ├── StoreMissing          there is no log there
    │   ├── StoreForeign          the file is not a Counterfoil log
    │   ├── StoreCorrupt          the store cannot be read
    │   └── LogClosed             this AuditLog was closed
    ├── FingerprintKeyError       the fingerprint key
    │   ├── InvalidKey            too short, unreadable, or readable by others
    │   └── KeyMismatch           the log was written with another key; a StoreError too
    ├── ReplayUnavailable         it cannot be told whether a proof was used before: do not accept it
    ├── ExportFailed              the destination did not take the batch; the cursor stays
    ├── ConfigurationError        an option or an environment variable has no meaning
    └── MissingExtra              an optional dependency is not installed

Each error has a ``code`` for programs, a sentence (``str``) that names places and never values, and ``advice``
for people. The library raises; only the command line prints.
"""

from __future__ import annotations

from typing import Any, ClassVar


class CounterfoilError(Exception):
    """The root. ``code`` is stable across releases; ``advice`` says what to do next."""

    code: ClassVar[str] = "error"
    advice: str = "The sentence says what went wrong, and where."

    def __init__(self, sentence: str, *, advice: str | None = None) -> None:
        super().__init__(sentence)
        if advice is not None:
            self.advice = advice

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the sentence and the attributes, so that a worker's error reaches its parent as it was."""
        return _restored, (type(self), self.args), self.__dict__


def _restored(error_type: type[CounterfoilError], args: tuple[object, ...]) -> CounterfoilError:
    return error_type.__new__(error_type, *args)  # the constructors of subclasses take other arguments


class InputError(CounterfoilError):
    """What the caller gave cannot be recorded. Nothing was written."""

    code = "input"
    advice = "Correct the input and record it again; nothing was written."


class InvalidEvent(InputError):
    """One or more fields are missing, unknown or of the wrong shape.

    ``problems`` pairs each path (``token.fingerprint``) with what is wrong there. An unknown member appears as
    ``<unknown, N characters>``, because a member's name can itself be a secret.
    """

    code = "invalid_event"
    advice = "`counterfoil schema` prints the JSON Schema of every event kind."

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        shown = "; ".join(f"{path or 'event'}: {problem}" for path, problem in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        super().__init__(f"{shown}{more}")
        self.problems = problems


class InvalidDigest(InputError):
    """A value that is no fingerprint, thumbprint or digest stands where one belongs. It may be a raw secret."""

    code = "invalid_digest"
    advice = "Make one from the secret with Fingerprint.of(secret, key); a raw credential is never recorded."

    def __init__(self, type_name: str, form: str) -> None:
        super().__init__(f"this is not a {type_name}; its form is {form}")


class OutOfDomain(InputError):
    """A value has no exact and portable JSON form (RFC 8785 §3.1, RFC 7493)."""

    code = "out_of_domain"
    advice = "Write the value as a string, or leave it out."

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'event'}: {problem}")
        self.path = path


class EventTooLarge(InputError):
    """The JSON that was given, or the body that would be sealed, is over the limit. Sizes in bytes."""

    code = "event_too_large"
    advice = "Record a digest of the large part instead of the part itself."

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the event is {size:,} bytes long; the limit is {limit:,}")


class SealingFailed(InputError):
    """Something raised while the entry was made: a redactor of the caller's own, an object without a JSON form.

    The sentence names the type of that error alone. Its text may quote what is not redacted yet, so it is not kept.
    """

    code = "sealing_failed"
    advice = "Try the redactor of the log, if it is your own, and the attributes of the event, each by itself."

    def __init__(self, error_type: str) -> None:
        super().__init__(f"the entry could not be made ({error_type}); nothing was written")


class EventConflict(InputError):
    """The ``event_id`` is already in the log with other content."""

    code = "event_conflict"
    advice = "Give every event its own event_id; repeat one only to retry the very same event."

    def __init__(self, event_id: str, seq: int) -> None:
        super().__init__(f"event_id {event_id} is already entry {seq}, with other content")
        self.seq = seq


class EntryRefused(InputError):
    """The database refuses this entry and takes others: a constraint, a trigger or an index does not allow it."""

    code = "entry_refused"
    advice = "Look at what was added to the tables of the log; Counterfoil's own take every event that it seals."

    def __init__(self, rule: str) -> None:
        super().__init__(f"the database refuses this entry ({rule})")


class InvalidRequest(InputError):
    """A raw HTTP request cannot be read."""

    code = "invalid_request"
    advice = "Expected: a request line, header lines, an empty line, and the body (RFC 9112)."


class AlreadyDecided(InputError):
    """The approval was decided before. Its first decision stands."""

    code = "already_decided"
    advice = "Ask again with a new approval: a decision that was recorded is not changed."

    def __init__(self) -> None:
        super().__init__("this approval was decided before")


class SigningKeyError(CounterfoilError):
    """The signing key cannot be read, can be read by other users, lies beside the database, or does not sign."""

    code = "signing_key"
    advice = "Make a key with `counterfoil key new FILE`, and name it in COUNTERFOIL_SIGNING_KEY_FILE."


class InvalidNote(CounterfoilError):
    """A checkpoint, a note or a verifier key does not have its form (C2SP signed-note, tlog-checkpoint)."""

    code = "invalid_note"
    advice = "A checkpoint is three lines (origin, size, root), an empty line, and signature lines."


class WitnessRefused(CounterfoilError):
    """A checkpoint contradicts one that the witness store holds: entries that were witnessed are gone or altered."""

    code = "witness_refused"
    advice = "Keep both, the log and the witness store, as they are: one of them was altered. Then run `verify`."


class StoreError(CounterfoilError):
    """Something is wrong with the store."""

    code = "store"
    advice = "`counterfoil db info` shows the state of the store."


class AuditUnavailable(StoreError):
    """The store cannot take the entry now. Nothing was recorded: do not perform the action."""

    code = "unavailable"
    advice = "Do not act. `counterfoil db info` shows the state of the store."


class DiskFull(AuditUnavailable):
    """No space is left where the log lies. Recording goes on by itself once there is, and tells of it."""

    code = "disk_full"
    advice = "Do not act. Free space on that disk: the log goes on by itself, and tells how many calls were refused."


class AuditTimeout(StoreError):
    """The deadline passed and the outcome is unknown. Retrying with the same ``event_id`` is safe."""

    code = "timeout"
    advice = "Retry with the same event_id: an entry that did arrive is not written twice."


class StoreMissing(StoreError):
    """There is no log at this address."""

    code = "store_missing"
    advice = "Name the log with --db or COUNTERFOIL_DB; recording into it creates it."


class StoreForeign(StoreError):
    """The file is not a Counterfoil log, or one of a version that this release does not know."""

    code = "store_foreign"
    advice = "Name another file; this one was left as it is."


class StoreCorrupt(StoreError):
    """The store cannot be read any more."""

    code = "store_corrupt"
    advice = "Keep the file as evidence, and restore the last good copy beside it."


class LogClosed(StoreError):
    """The ``AuditLog`` was closed before."""

    code = "closed"
    advice = "Open the log again; recording after close() would lose the entry."

    def __init__(self) -> None:
        super().__init__("this log was closed")


class FingerprintKeyError(CounterfoilError):
    """Something is wrong with the fingerprint key."""

    code = "key"
    advice = "The key is read from COUNTERFOIL_FINGERPRINT_KEY or COUNTERFOIL_FINGERPRINT_KEY_FILE."


class InvalidKey(FingerprintKeyError):
    """The fingerprint key is too short, cannot be read, or can be read by other users."""

    code = "invalid_key"
    advice = "Make a key with: python3 -c 'import secrets; print(secrets.token_hex(32))'"


class KeyMismatch(FingerprintKeyError, StoreError):
    """The log was written with another fingerprint key, so credentials would no longer join.

    Recording raises it too, after another process took an open log to another key: nothing was written.
    """

    code = "key_mismatch"
    advice = (
        "Set COUNTERFOIL_FINGERPRINT_KEY or COUNTERFOIL_FINGERPRINT_KEY_FILE to the key that the log was made with, "
        "or open it with accept_new_key=True, which is recorded."
    )

    def __init__(self, expected: str, given: str) -> None:
        super().__init__(f"the log was written with fingerprint key {expected}; this process has key {given}")


class ReplayUnavailable(CounterfoilError):
    """The replay store cannot tell whether a proof was used before: it is full, or out of reach."""

    code = "replay_unavailable"
    advice = "Do not accept the proof. A store that is full needs a higher bound, or a shorter max_age."


class ExportFailed(CounterfoilError):
    """The destination did not take the batch. The cursor stays where it was, so nothing is left out."""

    code = "export_failed"
    advice = "Run the export again when the destination answers: it goes on where it stopped."


class ConfigurationError(CounterfoilError):
    """An option or an environment variable has no meaning here."""

    code = "configuration"
    advice = "`counterfoil --help` lists the options and the environment variables."


class MissingExtra(CounterfoilError):
    """An optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, extra: str) -> None:
        super().__init__(
            f"this needs the extra `{extra}`, which is not installed",
            advice=f"pip install 'counterfoil[{extra}]'",
        )
