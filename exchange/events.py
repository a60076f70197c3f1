"""What is recorded as an event: source:subject:action, one list, so the log, the docs and the evaluation use one word.

Invariant: facts of an event never hold a personal value.
"""

from enum import StrEnum

from sqlalchemy.orm import Session

from exchange.registry.models import Event


class Tag(StrEnum):
    """Every event there is."""

    CATALOGUE_LOADED = "catalogue:resource:load"
    PARCEL_LANDED = "intake:parcel:land"
    PARCEL_REFUSED = "intake:parcel:refuse"
    PUSH_DECIDED = "gate:push:decide"
    PUSH_POOLED = "pool:push:commit"
    PUSH_WITHDRAWN = "pool:push:withdraw"
    QUARANTINE_RELEASED = "quarantine:rows:release"
    KEY_CONFIRMED = "quarantine:key:confirm"
    QUARANTINE_RETURNED = "quarantine:rows:return"
    NOTICE_SENT = "notice:push:send"
    NOTICE_GIVEN_UP = "notice:push:give-up"
    PUSH_SUPERSEDED = "pool:push:supersede"
    KEY_ALIASED = "key:alias:record"
    KEY_ALIAS_ENDED = "key:alias:end"
    BASE_BUILT = "base:build:commit"
    THEME_SUBMITTED = "theme:version:submit"
    THEME_APPROVED = "theme:version:approve"
    THEME_REJECTED = "theme:version:reject"
    THEME_BUILT = "theme:build:commit"
    THEME_STOPPED = "theme:build:refuse"
    INDEX_SWAPPED = "index:target:swap"
    RESOURCE_OVERDUE = "clock:resource:overdue"
    LANDING_AGED_OUT = "intake:landing:age-out"
    QUARANTINE_AGED_OUT = "gate:quarantine:age-out"
    VERSIONS_AGED_OUT = "pool:version:age-out"
    CLIENT_CREATED = "client:secret:create"
    CLIENT_ROTATED = "client:secret:rotate"
    CLIENT_REVOKED = "client:secret:revoke"
    GRANT_GIVEN = "grant:department:give"
    GRANT_REVOKED = "grant:department:revoke"
    LOG_VERIFIED = "log:chain:verify"
    LOG_PURGED = "log:body:purge"


def record(
    session: Session, tag: Tag, *, department: str | None = None, object_id: str | None = None, **facts: object
) -> None:
    """Record an event in the caller's own transaction."""
    session.add(Event(tag=tag.value, department_code=department, object_id=object_id, facts=facts))
