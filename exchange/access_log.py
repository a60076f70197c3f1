"""Every answer and every refusal, durable before the first byte leaves; provable for as long as it is kept.

One idea: a chain. Each record's keyed hash covers its own columns, the digest of its body and the hash of the record
before; a keyed head says where the chain ends, and an anchor file outside the database says how far it had come. A
witness beside the master key says how far it was when it was last found whole: it outlives the data folder.
Invariant: a caller of `append` or `aappend` continues only after its record is committed; a record is never changed,
and a purge of an old body leaves its digest, its place, and the number of the record that says under which rule.

Whoever owns the database but not the master key can destroy evidence, but not unnoticed: `verify` finds the place of any
changed, inserted, removed, reordered or cut-off record. Law: 网络安全法 23 (6 months), 网络数据安全管理条例 12 and 条例 29
(3 years).
"""

import calendar
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Row, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from exchange import events, keys
from exchange.callers import Caller
from exchange.errors import Unavailable, WrongState
from exchange.house import House
from exchange.progress import Progress, silent
from exchange.registry.models import AccessRecord
from exchange.seal import digest_hex, same
from exchange.together import Together

Decision = Literal["answered", "not_found", "refused"]
Retention = Literal["share_record", "network_log", "permanent"]

START = "0" * 64  # the hash before the first record
BEIJING = timezone(timedelta(hours=8))
LONGEST = 200  # characters kept of a text that a caller asserts
FLOORS = {"share_record": 36, "network_log": 6}  # months
RULES = {
    "share_record": "《政务数据共享条例》第二十九条、《网络数据安全管理条例》第十二条：不少于三年",
    "network_log": "《网络安全法》第二十三条：不少于六个月",
}
_BATCH = 5000  # rows verified per read
_BREAKS = 100  # breaks listed; a log with more has been rewritten
_GAP = r"[\s\-‐-―－]{0,2}"  # blanks and dashes that people write inside numbers
_USCC = "[0-9A-HJ-NPQRTUWXY]"
_NUMBER = re.compile(
    rf"\d{{14,}}(?:{_GAP}[Xx](?![A-Za-z]))?|{_USCC}{{2}}[0-9]{{6}}{_USCC}{{10}}"
    rf"|(?<!\d)(?:86{_GAP})?[1１]{_GAP}[3-9３-９](?:{_GAP}\d){{9}}(?!\d)"  # mobile
    # a number of our own (G261122-…) begins with a letter and stays
    rf"|(?<![0-9A-Za-z])\d(?:{_GAP}\d){{13,}}(?:{_GAP}[Xx](?![A-Za-z]))?"
    rf"|(?<![0-9A-Za-z]){_USCC}(?:{_GAP}{_USCC})(?:{_GAP}\d){{6}}(?:{_GAP}{_USCC}){{10}}(?![0-9A-Za-z])"
)
_LONGEST_NUMBER = 64  # characters, gaps included


@dataclass(frozen=True, kw_only=True)
class AccessEntry:
    """What is recorded of one subject in one answer or refusal. `subject_key` is hashed here and never stored."""

    department: str | None
    client: str | None
    person: str | None = None
    purpose: str | None = None
    action: str
    target: str | None
    version: str | None = None
    fields: Sequence[str] = ()
    subject_key: str | None = None
    answer_digest: str | None = None
    decision: Decision
    reason: str | None = None
    retention: Retention = "share_record"
    request_id: str | None = None
    grant: str | None = None  # of what is read without a request: by which grant, and how many rows there were
    rows: int | None = None


@dataclass(frozen=True)
class Break:
    """A place where the log is not what was written."""

    seq: int
    kind: Literal["altered", "body", "inserted", "missing", "order", "purge", "head", "anchor", "witness"]
    zh: str
    en: str


@dataclass(frozen=True)
class Purged:
    """Bodies removed under one rule, as the record `seq` says."""

    seq: int
    at: str
    retention: str
    before: str
    rule: str
    bodies: int


@dataclass(frozen=True)
class Verification:
    """The whole log, compared. `breaks` in order of place; the first is where to look.

    `witness`: the record up to which the witness now vouches; None when there is none, or it could not be written.
    """

    records: int
    head: int
    breaks: tuple[Break, ...] = ()
    purged: tuple[Purged, ...] = ()
    witness: int | None = None

    @property
    def whole(self) -> bool:
        return not self.breaks

    @property
    def first_broken(self) -> int | None:
        return self.breaks[0].seq if self.breaks else None

    def as_dict(self) -> dict[str, Any]:
        return {"whole": self.whole, "first_broken": self.first_broken} | asdict(self)


# ---- writing ---------------------------------------------------------------------------------------------------------


def append(house: House, entry: AccessEntry, *more: AccessEntry, now: datetime | None = None) -> int:
    """Record, commit, return the number of the last record.

    Raises:
        Unavailable: the control database does not answer; nothing may be answered then.
    """
    prepared = [_prepare(house, one, now) for one in (entry, *more)]
    try:
        with house.registry.session() as session:
            end = _write(house, session.connection(), prepared)
    except DBAPIError as error:
        raise _no_evidence(error) from None
    _advance(house, end)
    return end.seq


def enter(house: House, session: Session, *entries: AccessEntry) -> None:
    """Record in the caller's transaction: evidence and what it is of are committed together, or neither is. The chain is
    locked from here on, so this comes last.

    Raises:
        Unavailable: as `append`.
    """
    try:
        end = _write(house, session.connection(), [_prepare(house, one, None) for one in entries])
    except DBAPIError as error:
        raise _no_evidence(error) from None
    event.listen(session, "after_commit", lambda _: _advance(house, end), once=True)


async def aappend(house: House, entry: AccessEntry, *more: AccessEntry) -> int:
    """The same for the event loop; entries that wait together share one commit.

    Raises:
        Unavailable: the control database does not answer; nothing may be answered then.
    """
    prepared = [_prepare(house, one, None) for one in (entry, *more)]
    return await house.registry.only(_Writer).ask(house, prepared)


@dataclass(frozen=True)
class _Prepared:
    """An entry with its body ready, waiting for its place in the chain."""

    at: datetime
    subject: str | None
    retention: str
    body: str
    digest: str


@dataclass(frozen=True)
class _End:
    """Where a chain ends."""

    seq: int
    hash: str


class _Writer(Together[list[_Prepared], int]):
    """Group commit: while one transaction is being written, the next one fills up."""

    def __init__(self) -> None:
        super().__init__()
        self._end: _End | None = None

    async def work(self, house: House, asked: list[list[_Prepared]]) -> list[int]:
        flat = [one for prepared in asked for one in prepared]
        try:
            end = await self._at_our_end(house, flat)
            if end is None:
                async with house.registry.asession() as session:
                    end = await session.run_sync(lambda sync: _write(house, sync.connection(), flat))
        except (DBAPIError, OSError) as error:
            self._end = None
            raise _no_evidence(error) from None
        self._end = end
        _advance(house, end)
        return list(accumulate((len(prepared) for prepared in asked), initial=end.seq - len(flat)))[1:]

    async def _at_our_end(self, house: House, flat: list[_Prepared]) -> _End | None:
        """One statement, when nobody else has written since we did; None when somebody has, and nothing was written."""
        if self._end is None or _read_anchor(house) != self._end:
            return None
        end, rows = _chained(house, self._end, flat)
        async with house.registry.astatement() as connection:
            done = await connection.execute(_INSERT, _values(house, self._end, end, rows))
            return end if done.rowcount == len(flat) else None


def _prepare(house: House, entry: AccessEntry, now: datetime | None, **facts: object) -> _Prepared:
    body = {
        "nonce": secrets.token_hex(16),  # so that the digest left after a purge can't be guessed back to a body
        "department": entry.department or None,
        "client": entry.client,
        "person": own_words(entry.person),
        "purpose": own_words(entry.purpose),
        "action": entry.action,
        "target": own_words(entry.target),
        "version": entry.version,
        "fields": [own_words(name) for name in entry.fields],
        "answer": entry.answer_digest,
        "decision": entry.decision,
        "reason": own_words(entry.reason),
        "request": entry.request_id,
    } | facts
    body |= {name: value for name, value in (("grant", entry.grant), ("rows", entry.rows)) if value is not None}
    key = keys.subject(entry.subject_key or "")
    subject = house.seal.subject(key) if key else None
    written = _canonical(body)
    return _Prepared(now or datetime.now(UTC), subject, entry.retention, written, digest_hex(written.encode()))


def own_words(asserted: str | None) -> str | None:
    """A caller's own words, short, storable, and without anything that looks like somebody's number."""
    if asserted is None:
        return None
    window = asserted[: LONGEST + _LONGEST_NUMBER]  # a number across the end is left out whole: its first half says enough
    across = next((found.start() for found in _NUMBER.finditer(window) if found.end() > LONGEST), LONGEST)
    storable = window[: min(across, LONGEST)].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return _NUMBER.sub("…", storable)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


_HEAD = text(
    "SELECT h.seq, h.hash, h.mac, (SELECT l.hash FROM access_log l WHERE l.seq = :anchored) AS anchored "
    "FROM access_head h FOR UPDATE OF h"  # the row lock makes one chain of many processes
)
_INSERT = text(
    "WITH moved AS (UPDATE access_head SET seq = :seq, hash = :hash, mac = :mac "
    "WHERE seq = :from_seq AND hash = :from_hash RETURNING 1) "
    "INSERT INTO access_log (seq, at, subject, retention, body, body_digest, previous, hash) "
    "SELECT r.* FROM moved, jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (seq bigint, at timestamptz, subject text, "
    "retention text, body jsonb, body_digest text, previous text, hash text)"
)


def _write(house: House, connection: Connection, prepared: Sequence[_Prepared]) -> _End:
    """Put entries at the end of the chain, in the caller's transaction."""
    head = _lock_head(house, connection)
    end, rows = _chained(house, head, prepared)
    connection.execute(_INSERT, _values(house, head, end, rows))
    return end


def _chained(house: House, head: _End, prepared: Sequence[_Prepared]) -> tuple[_End, str]:
    """Where the chain ends with these entries, and their rows as one JSON text."""
    rows = []
    for one in prepared:
        seq, previous = head.seq + 1, head.hash
        head = _End(seq, _link(house, seq, one.at, one.subject, one.retention, one.digest, previous))
        columns = {"seq": seq, "at": one.at.isoformat(), "subject": one.subject, "retention": one.retention}
        columns |= {"body_digest": one.digest, "previous": previous, "hash": head.hash}
        rows.append(f'{json.dumps(columns)[:-1]}, "body": {one.body}}}')  # the body is JSON already
    return head, f"[{','.join(rows)}]"


def _values(house: House, head: _End, end: _End, rows: str) -> dict[str, object]:
    ends = {"seq": end.seq, "hash": end.hash, "mac": _head_mac(house, end)}
    return ends | {"from_seq": head.seq, "from_hash": head.hash, "rows": rows}


def _lock_head(house: House, connection: Connection) -> _End:
    """The end of the chain, locked until the transaction ends. What contradicts it is kept aside for `verify`, because
    a log that stops the service is no better than one that lies."""
    anchor = _read_anchor(house)
    row = connection.execute(_HEAD, {"anchored": anchor.seq if anchor else 0}).one_or_none()
    if row is None:
        return _first_head(house, connection)
    head = _End(row.seq, row.hash)
    if not same(row.mac, _head_mac(house, head)):
        _keep_aside(house, "head", head)
    if anchor is None:
        _keep_aside(house, "no-anchor", head)
    elif anchor.seq > head.seq or (anchor.seq > 0 and row.anchored != anchor.hash):
        _keep_aside(house, "anchor", anchor)
        _anchor_path(house).unlink(missing_ok=True)
    return head


def _first_head(house: House, connection: Connection) -> _End:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": 0x4C4F47})
    last = connection.execute(text("SELECT seq, hash FROM access_log ORDER BY seq DESC LIMIT 1")).one_or_none()
    head = _End(last.seq, last.hash) if last else _End(0, START)
    anchor = _read_anchor(house)
    if anchor is None and last is None:
        _advance(house, head)
    elif anchor is None or anchor.seq > head.seq:
        _keep_aside(house, "anchor", anchor or head)
        _anchor_path(house).unlink(missing_ok=True)
    connection.execute(
        text('INSERT INTO access_head ("only", seq, hash, mac) VALUES (true, :seq, :hash, :mac) ON CONFLICT DO NOTHING'),
        {"seq": head.seq, "hash": head.hash, "mac": _head_mac(house, head)},
    )
    row = connection.execute(_HEAD, {"anchored": 0}).one()
    return _End(row.seq, row.hash)


def _link(house: House, seq: int, at: datetime, subject: str | None, retention: str, digest: str, previous: str) -> str:
    columns = [seq, at.astimezone(UTC).isoformat(timespec="microseconds"), subject, retention, digest, previous]
    return house.seal.keyed_hash("log chain", _canonical(columns).encode())


def _head_mac(house: House, head: _End) -> str:
    return house.seal.keyed_hash("log head", f"{head.seq}|{head.hash}".encode())


def _no_evidence(error: BaseException) -> Unavailable:
    return Unavailable(
        "留痕无法写入，因此不能答复，请稍后再试",
        f"the evidence could not be written, so nothing may be answered; try again ({type(error).__name__})",
    )


# ---- the anchor: how far the chain had come, kept where the database's owner can't reach ------------------------------


def _anchor_path(house: House) -> Path:
    return house.settings.folder("log") / "anchor"


def _read_anchor(house: House) -> _End | None:
    """The anchor, or None when it is missing or not ours."""
    try:
        with _anchor_path(house).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return _parse_anchor(house, file.read())
    except FileNotFoundError:
        return None


def _parse_anchor(house: House, written: bytes) -> _End | None:
    parts = written.decode("ascii", "replace").split()
    if len(parts) != 3 or not parts[0].isdecimal():
        return None
    end = _End(int(parts[0]), parts[1])
    return end if same(parts[2], _anchor_mac(house, end)) else None


def _advance(house: House, end: _End) -> None:
    """Move the anchor forward (never back). Called after the commit, before anybody is answered."""
    descriptor = os.open(_anchor_path(house), os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        now = _parse_anchor(house, file.read())
        if now is None or end.seq > now.seq:
            os.pwrite(descriptor, _anchor_line(house, end), 0)


def _anchor_line(house: House, end: _End) -> bytes:
    return f"{end.seq:020d} {end.hash} {_anchor_mac(house, end)}\n".encode()


def _anchor_mac(house: House, end: _End) -> str:
    return house.seal.keyed_hash("log anchor", f"{end.seq}|{end.hash}".encode())


def _keep_aside(house: House, what: str, end: _End) -> None:
    """Keep what contradicted the chain while it went on; `verify` reports every such file until someone removes it."""
    path = _anchor_path(house).with_name(f"aside-{what}-{end.seq}-{end.hash[:12]}")
    path.write_bytes(_anchor_line(house, end))


# ---- the witness: what was once found whole, kept where the data folder's owner need not reach ----------------------


def _witness_path(house: House) -> Path:
    return house.settings.key_folder / "log.witness"


def _read_witness(house: House) -> _End | Literal["altered"] | None:
    """What the witness vouches for."""
    try:
        parts = _witness_path(house).read_bytes().decode("ascii", "replace").split()
    except OSError:
        return None
    if len(parts) == 3 and parts[0].isdecimal() and len(parts[0]) <= 20:
        end = _End(int(parts[0]), parts[1])
        if same(parts[2], _witness_mac(house, end)):
            return end
    return "altered"


def _renew_witness(house: House, end: _End) -> int | None:
    """Vouch for a chain that was found whole up to here."""
    path = _witness_path(house)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(5)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{end.seq:020d} {end.hash} {_witness_mac(house, end)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:  # a folder of keys that nobody may write to is as it should be; what was kept still stands
        draft.unlink(missing_ok=True)
        kept = _read_witness(house)
        return kept.seq if isinstance(kept, _End) else None
    return end.seq


def _witness_mac(house: House, end: _End) -> str:
    return house.seal.keyed_hash("log witness", f"{end.seq}|{end.hash}".encode())


# ---- reading ---------------------------------------------------------------------------------------------------------


def who_saw(house: House, key: str, caller: Caller) -> list[dict[str, Any]]:
    """Who asked about this person or entity, oldest first. Asking this is itself recorded, before the answer."""
    with house.registry.session() as session:
        found = session.scalars(
            select(AccessRecord)
            .where(AccessRecord.subject == house.seal.subject(keys.subject(key)))
            .order_by(AccessRecord.seq)
        ).all()
    append(
        house,
        AccessEntry(
            department=caller.department or None,
            client=caller.client_id,
            person=caller.person,
            action="who-saw",
            target=None,
            subject_key=key,
            decision="answered" if found else "not_found",
        ),
    )
    return [_shown(record) for record in found]


def _shown(record: AccessRecord) -> dict[str, Any]:
    kept = {name: value for name, value in (record.body or {}).items() if name != "nonce"}
    return {"seq": record.seq, "at": _beijing(record.at), "purged_by": record.purged_by} | kept


def _beijing(at: datetime) -> str:
    return at.astimezone(BEIJING).isoformat(timespec="milliseconds")


# ---- verifying -------------------------------------------------------------------------------------------------------


def verify(house: House, progress: Progress = silent) -> Verification:
    """Compare the whole log with itself, its head, its anchor and its witness, in one snapshot of the database. Reads;
    changes nothing but the witness of a log found whole and an event that says it was done."""
    anchor = _read_anchor(house)  # before the snapshot: the chain may only be further than this
    witness = _read_witness(house)
    with house.registry.session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        walk = _Walk(house, session.connection(), anchor, witness)
        verification = walk.run(progress)
    if verification.whole:
        verification = replace(verification, witness=_renew_witness(house, walk.last))
    elif isinstance(witness, _End):
        verification = replace(verification, witness=witness.seq)
    with house.registry.session() as session:
        events.record(
            session,
            events.Tag.LOG_VERIFIED,
            whole=verification.whole,
            records=verification.records,
            first_broken=verification.first_broken,
        )
    return verification


class _Walk:
    """One pass over the chain, in order of place."""

    def __init__(
        self, house: House, connection: Connection, anchor: _End | None, witness: _End | Literal["altered"] | None
    ) -> None:
        self.house = house
        self.connection = connection
        self.anchor = anchor
        self.witness = witness
        self.last = _End(0, START)
        self.records = 0
        self.breaks: list[Break] = []
        self.purges = self._purges()
        self.emptied: dict[int, int] = dict.fromkeys(self.purges, 0)

    def run(self, progress: Progress) -> Verification:
        total = self.connection.execute(text("SELECT count(*) FROM access_log")).scalar_one()
        for row in self._rows():
            self._compare(row)
            self.records += 1
            if self.records % _BATCH == 0:
                progress("log", self.records, total)
        self._compare_head()
        self._compare_anchor()
        self._compare_witness()
        progress("log", total, total)
        purged = tuple(replace(purged, bodies=self.emptied[seq]) for seq, purged in sorted(self.purges.items()))
        breaks = tuple(sorted(self.breaks, key=lambda found: found.seq)[:_BREAKS])
        return Verification(self.records, self.last.seq, breaks, purged)

    def _rows(self) -> Iterator[Row[Any]]:
        return iter(
            self.connection.execution_options(yield_per=_BATCH).execute(
                text(
                    # a moment no calendar knows (infinity, before year 1) is no moment we wrote: NULL, and so a break
                    "SELECT seq, CASE WHEN at BETWEEN '0002-01-01' AND '9998-12-31' THEN at END AS at, "
                    "subject, retention, body, body_digest, previous, hash, purged_by FROM access_log ORDER BY seq"
                )
            )
        )

    def _purges(self) -> dict[int, Purged]:
        rows = self.connection.execute(
            text(
                "SELECT seq, at, body FROM access_log WHERE retention = 'permanent' AND body ->> 'action' = 'purge' "
                "AND at BETWEEN '0002-01-01' AND '9998-12-31'"
            )
        )
        return {
            row.seq: Purged(row.seq, _beijing(row.at), body["class"], body["before"], body["rule"], body["bodies"])
            for row in rows
            if {"class", "before", "rule", "bodies"} <= (body := row.body).keys()
        }

    def _found(self, seq: int, kind: Any, zh: str, en: str) -> None:
        if len(self.breaks) < 2 * _BREAKS:
            self.breaks.append(Break(seq, kind, f"第 {seq} 条：{zh}", f"record {seq}: {en}"))

    def _compare(self, row: Row[Any]) -> None:
        expected = self.last.seq + 1
        if row.seq < expected:
            self._found(row.seq, "inserted", "不属于本链的位置", "stands at a place the chain does not have")
        elif row.seq > expected:
            self._found(
                expected,
                "missing",
                f"第 {expected} 至 {row.seq - 1} 条缺失",
                f"records {expected} to {row.seq - 1} are missing",
            )
        elif row.previous != self.last.hash:
            self._found(row.seq, "order", "与前一条不相接", "does not follow the record before it")
        if row.at is None or not same(self._expected_hash(row), row.hash):
            self._found(row.seq, "altered", "内容被改动或非本平台所写", "was altered, or not written by this house")
        self._compare_body(row)
        self.last = _End(row.seq, row.hash)

    def _expected_hash(self, row: Row[Any]) -> str:
        return _link(self.house, row.seq, row.at, row.subject, row.retention, row.body_digest, row.previous)

    def _compare_body(self, row: Row[Any]) -> None:
        if row.body is None:
            purged = self.purges.get(row.purged_by)
            if purged is None or not _covers(purged, row):
                self._found(
                    row.seq, "purge", "正文被清除而无相符的清除记录", "its body is gone and no purge record covers it"
                )
            else:
                self.emptied[purged.seq] += 1
        elif digest_hex(_canonical(row.body).encode()) != row.body_digest:
            self._found(row.seq, "body", "正文被改动", "its body was altered")
        elif row.purged_by is not None:
            self._found(row.seq, "purge", "标为已清除而正文仍在", "is marked as purged but has a body")

    def _compare_head(self) -> None:
        row = self.connection.execute(text("SELECT seq, hash, mac FROM access_head")).one_or_none()
        if row is None:
            if self.records:
                self._found(self.last.seq, "head", "链尾记录不见了", "the record of the chain's end is gone")
            return
        head = _End(row.seq, row.hash)
        if not same(row.mac, _head_mac(self.house, head)):
            self._found(row.seq, "head", "链尾记录被改动", "the record of the chain's end was altered")
        elif head.seq > self.last.seq:
            self._found(
                self.last.seq + 1,
                "missing",
                f"末尾第 {self.last.seq + 1} 至 {head.seq} 条缺失",
                f"records {self.last.seq + 1} to {head.seq} are cut off the end",
            )
        elif head != self.last:
            self._found(head.seq + 1, "inserted", "在链尾之后添加", "was added after the chain's end")

    def _compare_anchor(self) -> None:
        if self.anchor is None and self.records:
            self._found(self.last.seq, "anchor", "锚文件缺失或被改动", "the anchor file is missing or was altered")
        kept = [] if self.anchor is None else [self.anchor]
        for path in sorted(_anchor_path(self.house).parent.glob("aside-*")):
            end = _parse_anchor(self.house, path.read_bytes())
            if end is None or not path.name.startswith("aside-anchor-"):
                seq = end.seq if end else self.last.seq
                self._found(
                    seq, "anchor", f"写入时链尾或锚不相符（{path.name}）", f"head or anchor did not match ({path.name})"
                )
            else:
                kept.append(end)
        for end in kept:
            self._compare_end(end)

    def _compare_witness(self) -> None:
        if self.witness == "altered":
            self._found(self.last.seq, "witness", "见证文件被改动", "the witness file was altered")
        elif isinstance(self.witness, _End) and not self._has(self.witness):
            self._found(
                self._after_last_known(self.witness),
                "witness",
                f"上次验证完整时日志到第 {self.witness.seq} 条，现在没有这一条或已不同：日志被清空、重建，或恢复自更早的备份",
                f"when last found whole the log went up to record {self.witness.seq}, which is gone or another one now: the log "
                "was wiped, made anew, or restored from an older backup",
            )

    def _has(self, end: _End) -> bool:
        found = self.connection.execute(text("SELECT hash FROM access_log WHERE seq = :seq"), {"seq": end.seq}).scalar()
        return end.seq == 0 or (found is not None and same(found, end.hash))

    def _compare_end(self, end: _End) -> None:
        found = self.connection.execute(text("SELECT hash FROM access_log WHERE seq = :seq"), {"seq": end.seq}).scalar()
        if self._has(end):
            return
        zh, en = (
            ("与锚不同", "differs from the anchor")
            if found
            else ("锚中有而日志中无", "is in the anchor and not in the log")
        )
        self._found(
            self._after_last_known(end), "anchor", f"{zh}（锚：第 {end.seq} 条）", f"{en} (anchor: record {end.seq})"
        )

    def _after_last_known(self, end: _End) -> int:
        return min(end.seq, self.last.seq + 1)


def _covers(purged: Purged, row: Row[Any]) -> bool:
    try:
        before: bool = row.at < datetime.fromisoformat(purged.before)
    except (TypeError, ValueError):  # a forged purge: its own record is found altered as well
        return False
    return before and purged.seq > row.seq and purged.retention == row.retention


# ---- purging ---------------------------------------------------------------------------------------------------------


def purge(house: House, now: datetime) -> dict[str, int]:
    """Empty the bodies that are older than their class is kept, one permanent record a class; returns bodies by class.

    Raises:
        WrongState: the database's own clock says that a body is younger than the law's floor; nothing is emptied.
    """
    months = {"share_record": house.settings.log_months, "network_log": house.settings.network_log_months}
    return {retention: _purge(house, retention, _months_before(now, kept), kept) for retention, kept in months.items()}


def _purge(house: House, retention: str, before: datetime, months: int) -> int:
    old = {"class": retention, "before": before}
    condition = "retention = :class AND at < :before AND body IS NOT NULL"
    try:
        with house.registry.session() as session:
            connection = session.connection()
            head = _lock_head(house, connection)
            bodies = connection.execute(text(f"SELECT count(*) FROM access_log WHERE {condition}"), old).scalar_one()
            if not bodies:
                return 0
            entry = AccessEntry(
                department=None, client=None, action="purge", target=None, decision="answered", retention="permanent"
            )
            rule = f"{RULES[retention]}；本平台保存 {months} 个月"
            facts = {"class": retention, "before": before.isoformat(), "rule": rule, "bodies": bodies}
            end = _write(house, connection, [_prepare(house, entry, None, **facts)])
            connection.execute(
                text(f"UPDATE access_log SET body = NULL, purged_by = :by WHERE {condition} AND seq <= :last"),
                old | {"by": end.seq, "last": head.seq},
            )
            events.record(session, events.Tag.LOG_PURGED, retention=retention, bodies=bodies, record=end.seq)
    except DBAPIError as error:
        raise _too_young(error, retention) from None
    _advance(house, end)
    return int(bodies)


def _months_before(now: datetime, months: int) -> datetime:
    """The same day so many months earlier; a day that month does not have becomes its last day."""
    index = now.year * 12 + now.month - 1 - months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last))


def _too_young(error: DBAPIError, retention: str) -> WrongState | Unavailable:
    if "append-only" not in str(error.orig):
        return _no_evidence(error)
    floor = FLOORS[retention]
    return WrongState(
        f"留痕（{retention}）中有不满 {floor} 个月的记录，依法不得清除；请核对传入的时间",
        f"some {retention} records are younger than the {floor} months the law asks for; check the clock that was given",
    )
