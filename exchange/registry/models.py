"""Every table of the control database.

Invariant: no column here holds a value that a department pushed; subjects appear as keyed hashes only, and the numbers of an
alias are sealed.
"""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        Json: JSONB,
        list[str]: JSONB,
        datetime: DateTime(timezone=True),
        date: Date,
        str: Text,
    }


class House(Base):
    """One row: by which master key this house was made."""

    __tablename__ = "house"
    only: Mapped[bool] = mapped_column(Boolean, CheckConstraint('"only"'), primary_key=True, default=True)
    key_fingerprint: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Department(Base):
    """部门: by its own 统一社会信用代码."""

    __tablename__ = "department"
    code: Mapped[str] = mapped_column(CHAR(18), primary_key=True)
    name: Mapped[str]
    contact: Mapped[str | None]
    email: Mapped[str | None]
    webhook: Mapped[str | None]
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CodeSequence(Base):
    """The last 后段码 given out under a 前段码. Only ever rises: a code is never reused."""

    __tablename__ = "code_sequence"
    prefix: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int]


class Resource(Base):
    """信息资源: its identity, which never changes. `current` is the version new pushes are judged by."""

    __tablename__ = "resource"
    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    department_code: Mapped[str] = mapped_column(ForeignKey("department.code"))
    current: Mapped[int]
    retired_at: Mapped[datetime | None]
    overdue_since: Mapped[datetime | None]


class ResourceVersion(Base):
    """One version of a resource's catalogue entry, its rules included, exactly as loaded."""

    __tablename__ = "resource_version"
    resource_id: Mapped[str] = mapped_column(ForeignKey("resource.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[Json]
    digest: Mapped[str]
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())
    loaded_by: Mapped[str | None]  # the operator's account; of versions loaded before it was kept, nobody knows


class BaseVersion(Base):
    """One version of a base database's definition (基础库)."""

    __tablename__ = "base_version"
    base_id: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[Json]
    digest: Mapped[str]
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ThemeVersion(Base):
    """One version of a theme database's definition (主题库)."""

    __tablename__ = "theme_version"
    theme_id: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[Json]
    digest: Mapped[str]
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())
    loaded_by: Mapped[str | None]


class ThemeAct(Base):
    """What was done with a version of a theme: `submit`, `approve` or `reject`; the newest counts. Append-only."""

    __tablename__ = "theme_act"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    theme_id: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    action: Mapped[str]
    by: Mapped[str]
    reason: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        ForeignKeyConstraint(["theme_id", "version"], ["theme_version.theme_id", "theme_version.version"]),
        Index("theme_act_version", "theme_id", "version"),
    )


class Client(Base):
    """A system of one department. The secret is kept as an argon2 hash."""

    __tablename__ = "client"
    id: Mapped[str] = mapped_column(primary_key=True)
    department_code: Mapped[str] = mapped_column(ForeignKey("department.code"))
    name: Mapped[str]
    role: Mapped[str] = mapped_column(server_default=text("'department'"))  # exchange/callers.py: Role
    secret_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    rotated_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Grant(Base):
    """授权: one consumer department, one target (a base or a pool), exact fields, one purpose, until a day."""

    __tablename__ = "access_grant"
    id: Mapped[str] = mapped_column(primary_key=True)
    department_code: Mapped[str] = mapped_column(ForeignKey("department.code"))
    target: Mapped[str]  # "base:population" or "pool:police_household"
    fields: Mapped[list[str]]
    unmasked: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    modes: Mapped[list[str]]
    purpose: Mapped[str]
    legal_basis: Mapped[str]
    valid_from: Mapped[date]
    valid_until: Mapped[date]
    granted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]
    __table_args__ = (Index("access_grant_department", "department_code", "target"),)


class Push(Base):
    """A push and its receipt. Rows are never removed; `state` moves forward only.

    landed -> checking -> accepted | rejected | held;  held -> accepted;  accepted -> pooled | superseded
    landed | accepted | held | pooled -> withdrawn
    """

    __tablename__ = "push"
    id: Mapped[str] = mapped_column(primary_key=True)
    resource_id: Mapped[str]
    resource_version: Mapped[int]
    department_code: Mapped[str] = mapped_column(ForeignKey("department.code"))
    client_id: Mapped[str | None]
    door: Mapped[str]
    batch: Mapped[int] = mapped_column(BigInteger)
    mode: Mapped[str]
    rows: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    algorithm: Mapped[str]
    digest: Mapped[str]
    shape: Mapped[Json]  # format, encoding, delimiter, header, matched and unknown columns
    state: Mapped[str] = mapped_column(server_default="landed")
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    dispatched_at: Mapped[datetime | None]
    landed_removed_at: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("resource_id", "batch"),
        ForeignKeyConstraint(
            ["resource_id", "resource_version"], ["resource_version.resource_id", "resource_version.version"]
        ),
        Index("push_received", "resource_id", "received_at"),
        Index("push_undispatched", "received_at", postgresql_where=text("dispatched_at IS NULL")),
    )


class Verdict(Base):
    """The gate's word on a push: counts and row numbers per rule, never a value."""

    __tablename__ = "verdict"
    push_id: Mapped[str] = mapped_column(ForeignKey("push.id"), primary_key=True)
    decision: Mapped[str]  # accepted | rejected | held
    reasons: Mapped[list[Json]] = mapped_column(JSONB)
    rows: Mapped[int] = mapped_column(BigInteger)
    accepted_rows: Mapped[int] = mapped_column(BigInteger)
    quarantined_rows: Mapped[int] = mapped_column(BigInteger)
    warned_rows: Mapped[int] = mapped_column(BigInteger)
    normalised_values: Mapped[int] = mapped_column(BigInteger)
    rules: Mapped[list[Json]] = mapped_column(JSONB)  # one per rule: id, version, …, failed, passed, rows
    rules_digest: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_by: Mapped[str | None]


class QuarantineAct(Base):
    """What was done with rows in quarantine: `release` (the provider says they are right; `id` names the lake commit that took
    them into the pool) or `return` (given back for correction). `rows` as `exchange/ranges.py` writes them. Append-only."""

    __tablename__ = "quarantine_act"
    id: Mapped[str] = mapped_column(primary_key=True)
    push_id: Mapped[str] = mapped_column(ForeignKey("push.id"), index=True)
    action: Mapped[str]
    rows: Mapped[str]
    count: Mapped[int] = mapped_column(BigInteger)
    overtaken: Mapped[int] = mapped_column(
        BigInteger, server_default=text("0")
    )  # released, but newer pushes have their keys
    reason: Mapped[str | None]
    by: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class KeyConfirmation(Base):
    """Whose row a row in quarantine is, as a person of its department says (quality/confirmed.py). `sealed` holds the key, `key`
    is what evidence knows it by. Append-only: of one row's the newest counts."""

    __tablename__ = "key_confirmation"
    id: Mapped[str] = mapped_column(primary_key=True)
    push_id: Mapped[str] = mapped_column(ForeignKey("push.id"), index=True)
    row: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str] = mapped_column(CHAR(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Notice(Base):
    """A verdict to be told to its department by one channel. Written with the verdict; `id` is also the message's own id, the
    same however often it is sent. Sent at least once, or given up."""

    __tablename__ = "notice"
    id: Mapped[str] = mapped_column(primary_key=True)
    push_id: Mapped[str] = mapped_column(ForeignKey("push.id"), index=True)
    channel: Mapped[str]  # mail | webhook
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())  # None: nothing more is tried
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    sent_at: Mapped[datetime | None]
    failure: Mapped[str | None]  # what the last try that failed met: a class or a status, never a text
    __table_args__ = (Index("notice_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),)


class PoolCommit(Base):
    """A version of a pool: this lake snapshot shows what `push_id` left. `receipt` names the lake commit: the push itself,
    `<push>.withdrawn` when the push in `withdraws` was taken back, or the `quarantine_act` that released rows into it. The figures say what the version changed, in rows."""

    __tablename__ = "pool_commit"
    receipt: Mapped[str] = mapped_column(primary_key=True)
    push_id: Mapped[str] = mapped_column(ForeignKey("push.id"), index=True)
    resource_id: Mapped[str] = mapped_column(ForeignKey("resource.id"), index=True)
    snapshot: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    inserted: Mapped[int | None] = mapped_column(BigInteger)
    changed: Mapped[int | None] = mapped_column(BigInteger)
    deleted: Mapped[int | None] = mapped_column(BigInteger)
    absent: Mapped[int | None] = mapped_column(BigInteger)  # keys to be deleted that were not there
    withdraws: Mapped[str | None] = mapped_column(ForeignKey("push.id"))
    committed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    aged_at: Mapped[datetime | None]  # since then its rows are no longer to be had


class BaseBuild(Base):
    """One build of a base database: from which pools, which lake snapshot, how many rows and conflicts."""

    __tablename__ = "base_build"
    id: Mapped[str] = mapped_column(primary_key=True)
    base_id: Mapped[str] = mapped_column(index=True)
    base_version: Mapped[int]
    number: Mapped[int]
    inputs: Mapped[Json]  # {resource_id: {push, snapshot, batch, department, provider, source_date}}
    snapshot: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    closed: Mapped[int] = mapped_column(BigInteger)
    conflicts: Mapped[int] = mapped_column(BigInteger)
    aliases: Mapped[str | None]  # a digest of the numbers it goes by that stand for others; None: there were none
    unjoined: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # {resource: rows whose older number joins no key}
    authority_on: Mapped[date]  # the day (in China) whose orders of authority it goes by
    satellites: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # {satellite: {rows, closed, conflicts, orphans}}
    links: Mapped[Json] = mapped_column(
        server_default=text("'{}'")
    )  # {field: {resolved, unresolved, builds: {base: build}}}
    built: Mapped[str | None]  # whole or touched (pools/touched.py); None: whole, made before that was told
    because: Mapped[str | None]  # why it was made whole
    touched: Mapped[int | None] = mapped_column(BigInteger)  # keys made anew where not all were
    built_at: Mapped[datetime] = mapped_column(server_default=func.now())
    aged_at: Mapped[datetime | None]  # as of a pool's version
    __table_args__ = (UniqueConstraint("base_id", "number"),)


class ThemeBuild(Base):
    """One build of a theme database: from which versions, by which grants, which lake snapshot, how many rows."""

    __tablename__ = "theme_build"
    id: Mapped[str] = mapped_column(primary_key=True)
    theme_id: Mapped[str] = mapped_column(index=True)
    theme_version: Mapped[int]
    number: Mapped[int]
    inputs: Mapped[Json]  # {relation: {version, snapshot, definition, rows, grant, fields, masked, source}}
    snapshot: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    built_at: Mapped[datetime] = mapped_column(server_default=func.now())
    aged_at: Mapped[datetime | None]  # as of a pool's version
    __table_args__ = (UniqueConstraint("theme_id", "number"),)


class KeyAlias(Base):
    """A number that stands for another in one base, from a day on (pools/aliases.py). `sealed` holds both, `alias` and `key` are
    what evidence knows them by. Never changed, only ended."""

    __tablename__ = "key_alias"
    id: Mapped[str] = mapped_column(primary_key=True)
    base_id: Mapped[str] = mapped_column(String(63))
    alias: Mapped[str] = mapped_column(CHAR(64))
    key: Mapped[str] = mapped_column(CHAR(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    kind: Mapped[str]  # changed | wrong | duplicate
    resources: Mapped[list[str]]  # whose rows of that number are meant; none named: everybody's
    valid_from: Mapped[date]
    basis: Mapped[str]
    by: Mapped[str]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
    ended_why: Mapped[str | None]
    __table_args__ = (
        Index("key_alias_in_force", "base_id", "alias", unique=True, postgresql_where=text("ended_at IS NULL")),
    )


class ConflictCount(Base):
    """How often a build found that a source was compared with higher ones about a field, and how often it said otherwise."""

    __tablename__ = "conflict_count"
    build_id: Mapped[str] = mapped_column(ForeignKey("base_build.id"), primary_key=True)
    satellite: Mapped[str] = mapped_column(primary_key=True)  # empty: of the base itself
    field: Mapped[str] = mapped_column(primary_key=True)
    resource_id: Mapped[str] = mapped_column(ForeignKey("resource.id"), primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True)
    department_code: Mapped[str] = mapped_column(ForeignKey("department.code"))
    compared: Mapped[int] = mapped_column(BigInteger)
    differing: Mapped[int] = mapped_column(BigInteger)


class VersionNamed(Base):
    """A version that the access log names as the one which answered, and when it did last; taken from the log day by day."""

    __tablename__ = "version_named"
    version: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    seq: Mapped[int] = mapped_column(BigInteger)


class ServingIndex(Base):
    """What is served for a target now. Swapping it is one UPDATE."""

    __tablename__ = "serving_index"
    target: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]  # push id of a pool, build id of a base
    path: Mapped[str]  # relative to the data folder
    rows: Mapped[int] = mapped_column(BigInteger)
    sources: Mapped[Json]
    swapped_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AccessRecord(Base):
    """One answer or refusal. Append-only (a trigger refuses everything else but the purge of an old body)."""

    __tablename__ = "access_log"
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    subject: Mapped[str | None] = mapped_column(CHAR(64), index=True)
    retention: Mapped[str]  # share_record | network_log
    body: Mapped[Json | None]
    body_digest: Mapped[str] = mapped_column(CHAR(64))
    previous: Mapped[str] = mapped_column(CHAR(64))
    hash: Mapped[str] = mapped_column(CHAR(64))
    purged_by: Mapped[int | None] = mapped_column(BigInteger)  # seq of the record that says under which rule


class AccessHead(Base):
    """One row: where the evidence ends. `mac` is keyed, so a shortened log can't be given a matching head."""

    __tablename__ = "access_head"
    only: Mapped[bool] = mapped_column(Boolean, CheckConstraint('"only"'), primary_key=True, default=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(CHAR(64))
    mac: Mapped[str] = mapped_column(CHAR(64))


class Standing(Base):
    """One row: a number that rises (by triggers) with every change of clients, grants, departments or catalogue, so that
    what a process keeps in memory of them can be known to be current."""

    __tablename__ = "standing"
    only: Mapped[bool] = mapped_column(Boolean, CheckConstraint('"only"'), primary_key=True, default=True)
    version: Mapped[int] = mapped_column(BigInteger)


class Event(Base):
    """Something an operator or an evaluator will ask about: landed, refused, verdict, built, swapped, overdue."""

    __tablename__ = "event"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    tag: Mapped[str] = mapped_column(index=True)
    department_code: Mapped[str | None]
    object_id: Mapped[str | None] = mapped_column(index=True)
    facts: Mapped[Json] = mapped_column(server_default=text("'{}'"))
