"""What somebody does to a log who can write its files and knows how it is made: each attack, and what must be said.

``EXPECTED`` of each attack is data: for a log without anchors, for a signed one that is verified with its key, and for
one that is verified with what a witness saw of its first entries, which verdicts fail. An empty tuple says that the
attack is not seen there, which docs/integrity.md repeats.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from counterfoil.audit import AuditLog
from counterfoil.audit.integrity.merkle import root_of
from counterfoil.audit.integrity.note import (
    Checkpoint,
    erased_origin_of,
    origin_of,
    parse_checkpoint,
    pruned_origin_of,
)
from counterfoil.audit.integrity.signing_key import SigningKey
from counterfoil.schemas import Action, CredentialUse, FingerprintKey, Resource, Token, canonical_bytes
from counterfoil.schemas.entry import GENESIS, chain_hash, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

KEY = FingerprintKey(bytes.fromhex("7a" * 32))
SESSIONS = 8
_OLD = 4
"""After how many sessions a copy is taken that is later put back."""
_WITNESSED = 6
"""After how many sessions the witness looks."""
_ATTACKED = 12
"""The entry that is attacked: below every reach."""

PLAIN = "plain"
CONSISTENT, SIGNED, WITNESSED, COMPLETE, DEEP = "consistent", "signed", "witnessed", "complete", "deep"


@dataclass
class Scene:
    """A log before an attack, and what its defender and its attacker have."""

    folder: Path
    key: SigningKey | None
    """The log's own signing key."""
    options: list[str] = field(default_factory=list[str])
    """What the defender gives to verify."""

    @property
    def db(self) -> Path:
        """The log."""
        return self.folder / "audit.db"

    @property
    def old(self) -> Path:
        """A good copy of the log from earlier."""
        return self.folder / "old.db"

    @property
    def seen(self) -> Path:
        """What a witness keeps."""
        return self.folder / "seen.notes"

    def copy_to(self, folder: Path) -> Scene:
        """Return the same scene elsewhere."""
        shutil.copytree(self.folder, folder)
        options = [each.replace(str(self.folder), str(folder)) for each in self.options]
        return Scene(folder, self.key, options)


def make_scene(folder: Path, mode: str) -> Scene:
    """Write a log in a few sessions, each of which ends with a checkpoint."""
    folder.mkdir()
    key = SigningKey.generate("example.com/log")[0] if mode == SIGNED else None
    scene = Scene(folder, key)
    for session in range(SESSIONS):
        with AuditLog.open(scene.db, fingerprint_key=KEY, signing_key=key) as log:
            for number in range(4):
                log.record(_use(f"action_{session}_{number}"))
        if session + 1 == _OLD:
            shutil.copy(scene.db, scene.old)
        if session + 1 == _WITNESSED:
            with closing(sqlite3.connect(scene.db)) as connection:
                (note,) = connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
                last = connection.execute("SELECT seq, lower(hex(chain_hash)) FROM entry WHERE seq = 9").fetchone()
            scene.seen.write_text(note, "utf-8")
            (folder / "seen.jsonl").write_text(json.dumps({"seq": last[0], "chain_hash": last[1]}), "utf-8")
    if key:
        scene.options = ["--key", str(key.verifier_key)]
    if mode == WITNESSED:
        scene.options = ["--witness", str(scene.seen), "--witness", str(folder / "seen.jsonl")]
    return scene


def _use(name: str) -> CredentialUse:
    return CredentialUse(token=Token(), resource=Resource(uri="https://api.example/mail"), action=Action(name=name))


class Attacker:
    """The file in the hands of somebody who can write it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.connection = sqlite3.connect(scene.db, isolation_level=None)

    def run(self, *statements: str) -> None:
        """Change the file with SQL."""
        for statement in statements:
            self.connection.execute(statement)

    @property
    def log_id(self) -> bytes:
        """Which log the file says it is."""
        (found,) = self.connection.execute("SELECT log_id FROM log").fetchone()
        return bytes(found)

    def edit(self) -> None:
        """Change what a body says, and nothing else."""
        changed = self.connection.execute(
            """UPDATE entry SET body = replace(body, '"action_', '"Action_') WHERE seq = ?""", (_ATTACKED,)
        )
        assert changed.rowcount == 1

    def rehash(self) -> None:
        """Seal every entry anew, as its number and its predecessor demand."""
        head = GENESIS
        for seq, body in self.connection.execute("SELECT seq, body FROM entry ORDER BY seq").fetchall():
            leaf = leaf_hash(body.encode())
            head = chain_hash(self.log_id, seq, head, leaf)
            self.connection.execute("UPDATE entry SET leaf_hash = ?, chain_hash = ? WHERE seq = ?", (leaf, head, seq))

    def delete(self, seq: int = _ATTACKED) -> None:
        """Take an entry away and close up the numbers."""
        self.run(f"DELETE FROM entry WHERE seq = {seq}", f"UPDATE entry SET seq = -(seq - 1) WHERE seq > {seq}")
        self.run("UPDATE entry SET seq = -seq WHERE seq < 0")

    def drop_checkpoints(self, above: int = 0) -> None:
        """Forget the checkpoints of more entries than so many."""
        self.run(f"DELETE FROM checkpoint WHERE size > {above}")

    def rewrite_checkpoints(self, key: SigningKey | None = None) -> None:
        """Make every checkpoint anew, of the entries as they are now."""
        leaves = [bytes(row[0]) for row in self.connection.execute("SELECT leaf_hash FROM entry ORDER BY seq")]
        sizes = [row[0] for row in self.connection.execute("SELECT size FROM checkpoint ORDER BY size")]
        for size in sizes:
            note = Checkpoint(origin_of(self.log_id.hex()), min(size, len(leaves)), root_of(leaves[:size]))
            if size > len(leaves):
                self.run(f"DELETE FROM checkpoint WHERE size = {size}")
                continue
            self.connection.execute(
                "UPDATE checkpoint SET note = ?, frontier = NULL WHERE size = ?",
                (str(note.signed(key) if key else note), size),
            )

    def append(self, event: dict[str, Any]) -> None:
        """Put an entry at the end, sealed as it should be, by a producer that is made up."""
        seq, head, body = self.connection.execute(
            "SELECT seq, chain_hash, body FROM entry ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        context = json.loads(body)["context"]
        context["event_id"] = f"00000000-0000-7000-8000-{seq:012x}"
        context["producer"]["seq"] += 1
        made = canonical_bytes({"kind": "log", "context": context, **event})
        leaf = leaf_hash(made)
        self.connection.execute(
            "INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (?, ?, ?, ?)",
            (seq + 1, made.decode(), leaf, chain_hash(self.log_id, seq + 1, bytes(head), leaf)),
        )

    def prune(self, first: int = 10, last: int = 12) -> list[bytes]:
        """Take bodies away, and return the leaf hashes that stay."""
        where = f"WHERE seq BETWEEN {first} AND {last} AND kind <> 'log'"
        leaves = [bytes(row[0]) for row in self.connection.execute(f"SELECT leaf_hash FROM entry {where} ORDER BY seq")]
        self.run(
            f"INSERT INTO pruned SELECT seq, leaf_hash, chain_hash FROM entry {where}", f"DELETE FROM entry {where}"
        )
        return leaves

    def tell_pruned(self, leaves: Sequence[bytes], note: str | None, key: SigningKey | None = None) -> None:
        """Add the entry that tells of it."""
        (first, last) = self.connection.execute("SELECT min(seq), max(seq) FROM pruned").fetchone()
        said: dict[str, Any] = {"change": "pruned", "count": len(leaves), "first": first, "last": last}
        said |= {"note": note} if note else {}
        self.append(said | ({"verification_key": str(key.verifier_key)} if key else {}))

    def pruning_note(self, leaves: Sequence[bytes]) -> Checkpoint:
        """Return the note that a pruning entry has, unsigned."""
        return Checkpoint(pruned_origin_of(self.log_id.hex()), len(leaves), root_of(leaves))

    def erase(self, *seqs: int) -> list[dict[str, Any]]:
        """Take single bodies away, and return what an entry would tell of them."""
        told: list[dict[str, Any]] = []
        for seq in seqs:
            body, leaf = self.connection.execute("SELECT body, leaf_hash FROM entry WHERE seq = ?", (seq,)).fetchone()
            producer = json.loads(body)["context"]["producer"]
            numbers = [*producer["raised"], producer["seq"]]
            told.append({"seq": seq, "leaf_hash": leaf.hex(), "producer": producer["id"], "numbers": numbers})
            self.connection.execute(
                "INSERT INTO erased SELECT seq, leaf_hash, chain_hash, (SELECT max(seq) + 1 FROM entry) FROM entry "
                "WHERE seq = ?",
                (seq,),
            )
        for seq in seqs:
            self.run(f"DELETE FROM entry WHERE seq = {seq}")
        return told

    def tell_erased(self, told: list[dict[str, Any]], note: str | None, key: SigningKey | None = None) -> None:
        """Add the entry that tells of it."""
        said: dict[str, Any] = {"change": "erased", "log_id": self.log_id.hex(), "erased": told, "reason": "a secret"}
        said |= {"note": note} if note else {}
        self.append(said | ({"verification_key": str(key.verifier_key)} if key else {}))

    def erasure_note(self, *seqs: int) -> Checkpoint:
        """Return the note that an erasure of these entries has, unsigned."""
        either = "SELECT seq, chain_hash FROM entry UNION ALL SELECT seq, chain_hash FROM erased"
        heads = {seq: bytes(head) for seq, head in self.connection.execute(either)}
        return Checkpoint(erased_origin_of(self.log_id.hex()), len(seqs), root_of([heads[seq] for seq in seqs]))

    def redefine(self, old: str, new: str) -> None:
        """Change the definition of the table of entries, behind SQLite's back."""
        self.run("PRAGMA writable_schema = ON")
        done = self.connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'entry'", (old, new)
        )
        assert done.rowcount == 1
        self.run("PRAGMA writable_schema = RESET")


@dataclass(frozen=True)
class Attack:
    """One attack, and which verdicts must fail."""

    what: str
    do: Callable[[Attacker], None]
    plain: tuple[str, ...]
    signed: tuple[str, ...]
    witnessed: tuple[str, ...]
    options: Callable[[Scene], list[str]] = lambda scene: scene.options
    """What the defender gives."""

    def expected(self, mode: str) -> tuple[str, ...]:
        """Return which verdicts must fail."""
        return {PLAIN: self.plain, SIGNED: self.signed, WITNESSED: self.witnessed}[mode]


def attacks() -> Iterator[Attack]:
    """Yield every attack."""
    bad, with_key, seen = (CONSISTENT,), (CONSISTENT, SIGNED), (CONSISTENT, WITNESSED)
    yield Attack("a body is edited", Attacker.edit, bad, with_key, seen)
    yield Attack("a body is edited, everything after it sealed anew", _edit_rehash, bad, with_key, seen)
    yield Attack(
        "a row is deleted", lambda it: it.run(f"DELETE FROM entry WHERE seq = {_ATTACKED}"), bad, with_key, seen
    )
    yield Attack(
        "a row is deleted, everything after it sealed anew",
        _delete_rehash,
        (CONSISTENT, COMPLETE),
        (CONSISTENT, SIGNED, COMPLETE),
        (CONSISTENT, WITNESSED, COMPLETE),
    )
    yield Attack(
        "the same, and the checkpoints after it dropped", _delete_drop, (COMPLETE,), (COMPLETE,), (WITNESSED, COMPLETE)
    )
    yield Attack(
        "a body is edited, everything sealed anew, later checkpoints dropped", _edit_drop, (), (), (WITNESSED,)
    )
    yield Attack("the same, and every checkpoint made anew, unsigned", _edit_remake, (), (SIGNED,), (WITNESSED,))
    yield Attack("the same, signed with the stolen key", _edit_resign, (), (), (WITNESSED,))
    yield Attack("rows are cut from the end, their checkpoints stay", _truncate, bad, with_key, seen)
    yield Attack("rows are cut from the end, with their checkpoints", _truncate_drop, (), (), (WITNESSED,))
    yield Attack("every row is deleted", _wipe, bad, with_key, seen)
    yield Attack("another log is put in its place", _replace, (), (SIGNED,), (WITNESSED,))
    yield Attack("an older copy is put back", _put_back, (), (), (WITNESSED,))
    yield Attack(
        "the log gets another id", lambda it: it.run("UPDATE log SET log_id = zeroblob(16)"), bad, with_key, seen
    )
    yield Attack("the same, everything made anew to fit it", _reidentify, (), (SIGNED,), (WITNESSED,))
    yield Attack(
        "the same, and the right id is asked for",
        _reidentify,
        bad,
        with_key,
        seen,
        options=lambda scene: [*scene.options, "--log-id", _log_id_of(scene.old)],
    )
    yield Attack("two rows change places", _swap, bad, with_key, seen)
    yield Attack("a row is there twice", _duplicate, bad, with_key, seen)
    yield Attack("a row is put before the first", _insert_before, bad, with_key, seen)
    yield Attack("the same, everything numbered and sealed anew", _insert_renumber, bad, with_key, seen)
    yield Attack("the signatures are stripped from the checkpoints", _strip, (), (SIGNED,), ())
    yield Attack("every checkpoint is signed with a key that a new entry names", _own_key, (), (SIGNED,), ())
    yield Attack("a signature is altered", _alter_signature, (), (SIGNED,), ())
    yield Attack(
        "it is verified with a key that is not the log's",
        lambda _it: None,
        (SIGNED,),
        (SIGNED,),
        (SIGNED,),
        options=lambda scene: [*_without_key(scene.options), "--key", str(_other_key().verifier_key)],
    )
    yield Attack("a checkpoint of another log is put in", _foreign_checkpoint, bad, bad, bad)
    yield Attack(
        "one history is shown to one, another to the other",
        _equivocate,
        (WITNESSED,),
        (WITNESSED,),
        (WITNESSED,),
        options=lambda scene: [
            *scene.options,
            "--witness",
            str(scene.folder / "twin.notes"),
            "--witness",
            str(scene.seen),
        ],
    )
    yield Attack("bodies are taken away", _take_away, bad, bad, bad)
    yield Attack("bodies are taken away, an entry says so, unsigned", _prune_unsigned, bad, bad, bad)
    yield Attack("the same, signed with a key of the attacker's own", _prune_own_key, (), bad, ())
    yield Attack("the same, under the name of the log's key", _prune_forged, bad, bad, bad)
    yield Attack("a signed note of pruning is moved to other bodies", _prune_moved, bad, bad, bad)
    yield from _erasures()
    deep = (CONSISTENT, DEEP)
    for what, do in _SCHEMA.items():
        yield Attack(f"{what}, with `--deep`", do, deep, deep, deep, options=lambda scene: [*scene.options, "--deep"])
        yield Attack(f"{what}, without `--deep`", do, (), (), ())


def _erasures() -> Iterator[Attack]:
    """Yield what is done under the name of erasure, or to one that was right."""
    bad, with_key, seen, holed = (CONSISTENT,), (CONSISTENT, SIGNED), (CONSISTENT, WITNESSED), (CONSISTENT, COMPLETE)
    yield Attack("a body is erased, and no entry says so", _erase_unnoted, holed, holed, holed)
    yield Attack("a body is erased, an entry says so, without a note", _erase_unsaid, bad, bad, bad)
    yield Attack("a body is erased, an entry says so, unsigned", _erase_unsigned, bad, bad, bad)
    yield Attack("a body is erased under a key of the attacker's own", _erase_own_key, (), bad, ())
    yield Attack("a body is erased under the name of the log's key", _erase_forged, bad, bad, bad)
    yield Attack("a signed note of erasure is moved to another entry", _erase_moved, bad, bad, bad)
    yield Attack("the same, and the entry that is named is exchanged for it", _erase_exchanged, bad, with_key, seen)
    yield Attack("a signed erasure is told again, of one entry more", _erase_more, bad, bad, bad)
    yield Attack("a signed erasure is told once more", _erase_replayed, bad, bad, bad)
    yield Attack("a signed note of pruning is given for an erasure", _erase_by_pruning, bad, bad, bad)
    yield Attack("an entry says that a body was erased which is there", _erase_nothing, bad, bad, bad)
    yield Attack("another body is put in the place of one that was erased", _put_in, bad, with_key, seen)
    yield Attack("what stayed of an erased entry is altered", _erase_altered, bad, with_key, seen)
    yield Attack("the entry that tells of an erasure is erased", _erase_the_telling, bad, bad, bad)


def _edit_rehash(it: Attacker) -> None:
    it.edit()
    it.rehash()


def _edit_drop(it: Attacker) -> None:
    _edit_rehash(it)
    it.drop_checkpoints(above=_ATTACKED - 1)


def _edit_remake(it: Attacker) -> None:
    _edit_rehash(it)
    it.rewrite_checkpoints()


def _edit_resign(it: Attacker) -> None:
    _edit_rehash(it)
    it.rewrite_checkpoints(it.scene.key)


def _delete_rehash(it: Attacker) -> None:
    it.delete()
    it.rehash()


def _delete_drop(it: Attacker) -> None:
    _delete_rehash(it)
    it.drop_checkpoints(above=_ATTACKED - 1)


def _truncate(it: Attacker) -> None:
    it.run(f"DELETE FROM entry WHERE seq > {_ATTACKED}")


def _truncate_drop(it: Attacker) -> None:
    _truncate(it)
    it.drop_checkpoints(above=_ATTACKED)


def _wipe(it: Attacker) -> None:
    it.run("DELETE FROM entry")


def _replace(it: Attacker) -> None:
    it.connection.close()
    for each in it.scene.folder.glob("audit.db*"):
        each.unlink()
    with AuditLog.open(it.scene.db, fingerprint_key=KEY) as log:
        for number in range(60):
            log.record(_use(f"innocent_{number}"))
    it.connection = sqlite3.connect(it.scene.db, isolation_level=None)


def _put_back(it: Attacker) -> None:
    it.connection.close()
    for each in it.scene.folder.glob("audit.db*"):
        each.unlink()
    shutil.copy(it.scene.old, it.scene.db)
    it.connection = sqlite3.connect(it.scene.db, isolation_level=None)


def _reidentify(it: Attacker) -> None:
    old, new = it.log_id.hex(), "ab" * 16
    it.run(f"UPDATE log SET log_id = x'{new}'", f"UPDATE entry SET body = replace(body, '{old}', '{new}')")
    it.rehash()
    it.rewrite_checkpoints()


def _swap(it: Attacker) -> None:
    for old, new in ((_ATTACKED, 999), (_ATTACKED + 1, _ATTACKED), (999, _ATTACKED + 1)):
        it.run(f"UPDATE entry SET seq = {new} WHERE seq = {old}")


def _duplicate(it: Attacker) -> None:
    """Make the number an ordinary column, so that two rows can have it."""
    (made,) = it.connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry'").fetchone()
    columns = "seq, body, leaf_hash, chain_hash"
    it.run("ALTER TABLE entry RENAME TO moved", "DROP INDEX entry_event_id")
    it.run(made.replace("PRIMARY KEY (seq)", "CHECK (seq > 0)"))
    it.run(f"INSERT INTO entry ({columns}) SELECT {columns} FROM moved", "DROP TABLE moved")
    it.run(f"INSERT INTO entry ({columns}) SELECT {columns} FROM entry WHERE seq = {_ATTACKED}")


def _insert_before(it: Attacker) -> None:
    it.run(
        "INSERT INTO entry (seq, body, leaf_hash, chain_hash) SELECT 0, '{}', leaf_hash, chain_hash FROM entry "
        "WHERE seq = 1"
    )


def _insert_renumber(it: Attacker) -> None:
    _insert_before(it)
    it.run("UPDATE entry SET seq = -(seq + 1)", "UPDATE entry SET seq = -seq")
    it.rehash()


def _strip(it: Attacker) -> None:
    for size, note in it.connection.execute("SELECT size, note FROM checkpoint").fetchall():
        bare = parse_checkpoint(note).note.text + "\n"
        it.connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (bare, size))


def _own_key(it: Attacker) -> None:
    own = _other_key()
    it.append({"change": "signing_key_rotated", "verification_key": str(own.verifier_key)})
    it.rewrite_checkpoints(own)


def _alter_signature(it: Attacker) -> None:
    for size, note in it.connection.execute("SELECT size, note FROM checkpoint").fetchall():
        it.connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (_spoilt(note), size))


def _spoilt(note: str) -> str:
    """Return the note with other signatures, if it has any."""
    text, empty, signatures = note.rpartition("\n\n")
    at = len(signatures) - 20
    return f"{text}{empty}{signatures[:at]}{'AB'[signatures[at] == 'A']}{signatures[at + 1 :]}" if signatures else note


def _foreign_checkpoint(it: Attacker) -> None:
    (size,) = it.connection.execute("SELECT min(size) FROM checkpoint").fetchone()
    other = Checkpoint(origin_of("cd" * 16), size, bytes(32))
    it.connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (str(other), size))


def _equivocate(it: Attacker) -> None:
    seen = parse_checkpoint(it.scene.seen.read_text("utf-8"))
    twin = Checkpoint(seen.origin, seen.size, bytes(32))
    (it.scene.folder / "twin.notes").write_text(str(twin.signed(it.scene.key) if it.scene.key else twin), "utf-8")


def _take_away(it: Attacker) -> None:
    it.prune()


def _prune_unsigned(it: Attacker) -> None:
    leaves = it.prune()
    it.tell_pruned(leaves, str(it.pruning_note(leaves)))


def _prune_own_key(it: Attacker) -> None:
    leaves, own = it.prune(), _other_key()
    it.tell_pruned(leaves, str(it.pruning_note(leaves).signed(own)), own)


def _prune_forged(it: Attacker) -> None:
    leaves, own = it.prune(), it.scene.key or _other_key()
    it.tell_pruned(leaves, _spoilt(str(it.pruning_note(leaves).signed(own))), own)


def _prune_moved(it: Attacker) -> None:
    leaves, own = it.prune(), it.scene.key or _other_key()
    note = it.pruning_note(leaves[:-1]).signed(own)
    it.tell_pruned(leaves, str(note), own)


def _erased(it: Attacker, *seqs: int) -> SigningKey:
    """Erase entries as the log's owner does, and return the key: one of the attacker's own where the log has none."""
    told, own = it.erase(*seqs), it.scene.key or _other_key()
    it.tell_erased(told, str(it.erasure_note(*seqs).signed(own)), own)
    return own


def _erase_unnoted(it: Attacker) -> None:
    it.erase(_ATTACKED)


def _erase_unsaid(it: Attacker) -> None:
    it.tell_erased(it.erase(_ATTACKED), None)


def _erase_unsigned(it: Attacker) -> None:
    it.tell_erased(it.erase(_ATTACKED), str(it.erasure_note(_ATTACKED)))


def _erase_own_key(it: Attacker) -> None:
    told, own = it.erase(_ATTACKED), _other_key()
    it.tell_erased(told, str(it.erasure_note(_ATTACKED).signed(own)), own)


def _erase_forged(it: Attacker) -> None:
    told, own = it.erase(_ATTACKED), it.scene.key or _other_key()
    it.tell_erased(told, _spoilt(str(it.erasure_note(_ATTACKED).signed(own))), own)


def _erase_moved(it: Attacker) -> None:
    told, own = it.erase(_ATTACKED), it.scene.key or _other_key()
    it.tell_erased(told, str(it.erasure_note(_ATTACKED - 1).signed(own)), own)


def _erase_exchanged(it: Attacker) -> None:
    """Let what stands in the place of the entry be what the note is about."""
    told, own = it.erase(_ATTACKED), it.scene.key or _other_key()
    note = str(it.erasure_note(_ATTACKED - 1).signed(own))
    it.run(
        "UPDATE erased SET (leaf_hash, chain_hash) = (SELECT leaf_hash, chain_hash FROM entry "
        f"WHERE seq = {_ATTACKED - 1}) WHERE seq = {_ATTACKED}"
    )
    it.tell_erased(told, note, own)


def _erase_more(it: Attacker) -> None:
    own = _erased(it, _ATTACKED - 1)
    told = [*it.erase(_ATTACKED), {"seq": _ATTACKED - 1, "leaf_hash": "0" * 64}]
    it.tell_erased(told, str(it.erasure_note(_ATTACKED - 1).signed(own)), own)


def _erase_replayed(it: Attacker) -> None:
    _erased(it, _ATTACKED)
    (body,) = it.connection.execute("SELECT body FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    event = json.loads(body)
    it.append({name: member for name, member in event.items() if name not in {"kind", "context"}})


def _erase_by_pruning(it: Attacker) -> None:
    told, own = it.erase(_ATTACKED), it.scene.key or _other_key()
    pruned = it.pruning_note([bytes.fromhex(each["leaf_hash"]) for each in told])
    it.tell_erased(told, str(pruned.signed(own)), own)


def _erase_nothing(it: Attacker) -> None:
    own = it.scene.key or _other_key()
    (leaf,) = it.connection.execute("SELECT leaf_hash FROM entry WHERE seq = ?", (_ATTACKED,)).fetchone()
    told: list[dict[str, Any]] = [{"seq": _ATTACKED, "leaf_hash": leaf.hex(), "numbers": []}]
    it.tell_erased(told, str(it.erasure_note(_ATTACKED).signed(own)), own)


def _put_in(it: Attacker) -> None:
    _erased(it, _ATTACKED)
    columns = "seq, body, leaf_hash, chain_hash"
    it.run(
        f"INSERT INTO entry ({columns}) SELECT erased.seq, replace(replace(body, 'action_', 'Action_'), "
        "json_extract(body, '$.context.event_id'), '00000000-0000-7000-8000-0000000000ff'), erased.leaf_hash, "
        f"erased.chain_hash FROM erased, entry WHERE entry.seq = {_ATTACKED - 1}",
        "DELETE FROM erased",
    )


def _erase_altered(it: Attacker) -> None:
    _erased(it, _ATTACKED)
    it.run("UPDATE erased SET leaf_hash = zeroblob(32)")


def _erase_the_telling(it: Attacker) -> None:
    own = _erased(it, _ATTACKED)
    (last,) = it.connection.execute("SELECT max(seq) FROM entry").fetchone()
    told = it.erase(last)
    it.tell_erased(told, str(it.erasure_note(last).signed(own)), own)


def _false_index(it: Attacker) -> None:
    """Let the index of tasks hold what is not there, and put the definition back."""
    right, wrong = (
        f"task TEXT GENERATED ALWAYS AS (json_extract(body, '$.{path}'))" for path in ("context.task", "kind")
    )
    it.redefine(right, wrong)
    it.run("REINDEX entry_task")
    it.redefine(wrong, right)


def _without_key(options: list[str]) -> list[str]:
    return options[2:] if options[:1] == ["--key"] else options


def _other_key() -> SigningKey:
    return SigningKey.generate("example.com/log")[0]


def _log_id_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT lower(hex(log_id)) FROM log").fetchone()
    return str(found)


_SCHEMA: dict[str, Callable[[Attacker], None]] = {
    "a computed column is given another expression": lambda it: it.redefine("'$.action.outcome'", "'$.action.method'"),
    "a trigger is put into the schema": lambda it: it.run(
        "CREATE TRIGGER quiet AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE seq = new.seq; END"
    ),
    "a view is put into the schema": lambda it: it.run("CREATE VIEW entries AS SELECT 1"),
    "an index is made under another expression": _false_index,
}
