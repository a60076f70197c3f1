"""Who may see which resources' quality, and the record of every answer and refusal.

Invariant: nobody sees anything unless this module says so. An operator at the machine and the quality team see all; any
other client sees what its own department provides.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from exchange import access_log, catalogue
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.errors import AccessRefused, NotFound
from exchange.house import House
from exchange.registry.models import Resource
from quality.overview.model import Asked

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Scope:
    """What an answer is about: one resource, or those in force of some departments (None: of all)."""

    resource: str | None = None
    departments: tuple[str, ...] | None = None


def sees_all(caller: Caller) -> bool:
    """Whether a caller sees the quality of every department."""
    return caller.client_id is None or caller.role == "quality"


def answered(
    house: House,
    caller: Caller,
    action: str,
    asked: Asked,
    make: Callable[[Scope], Answer],
    written: Callable[[Answer], bytes],
) -> Answer:
    """What `make` makes of what the caller may see, recorded with the digest of what he gets.

    Raises:
        AccessRefused: another department's resource or figures. NotFound: no such resource or department.
        RequestInvalid: a period the wrong way round.
    """
    asked.checked()
    entry = AccessEntry(
        department=caller.department or None,
        client=caller.client_id,
        person=caller.person,
        action=action,
        target="quality",
        decision="answered",
    )
    try:
        scope, target = _scope(house, caller, asked)
    except AccessRefused as error:
        recorded = access_log.append(house, replace(entry, decision="refused", reason=f"other-department: {error.zh}"))
        error.facts["recorded"] = recorded  # so that the door does not record it again
        raise
    except NotFound:
        access_log.append(house, replace(entry, decision="not_found", reason="no such resource or department"))
        raise
    answer = make(scope)
    digest = house.seal.keyed_hash("answer", written(answer))
    access_log.append(house, replace(entry, target=f"quality:{target}", answer_digest=digest))
    return answer


def _scope(house: House, caller: Caller, asked: Asked) -> tuple[Scope, str]:
    """What may be seen of what was asked for, and its name in the evidence."""
    everything = sees_all(caller)
    own = None if everything else (caller.department,)
    if asked.department is not None:
        if own is not None and asked.department not in own:
            raise _refused()
        own = (catalogue.department(house, asked.department).code,)
    if asked.resource is not None:
        if _provider(house, asked.resource) not in (own or (_provider(house, asked.resource),)):
            raise _refused()
        return Scope(asked.resource), asked.resource
    if own is None:
        return Scope(), "all"
    return Scope(departments=own), catalogue.department(house, own[0]).name


def _provider(house: House, resource_id: str) -> str:
    with house.registry.session() as session:
        known = session.get(Resource, resource_id)
    if known is None:
        raise NotFound("没有这个资源，请核对资源 id", "there is no such resource; check its id")
    return known.department_code


def _refused() -> AccessRefused:
    return AccessRefused(
        "质量情况只给提供该资源的部门和质量管理人员；请查询本部门的资源，或联系平台管理员",
        "quality figures are for the department that provides the resource, and for the quality team; ask for a resource of "
        "your own, or ask the operator of this exchange",
        reason="other-department",
    )
