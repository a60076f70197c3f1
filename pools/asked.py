"""An explanation that leaves evidence: who asked, what for, of whom, and whether there was an answer.

Invariant: nothing that `explain_to` finds, or does not find, reaches its caller before the record of it is committed.
"""

import json
from dataclasses import replace

from exchange import access_log
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.errors import NotFound
from exchange.house import House
from pools.explain import Explanation, explain


def explain_to(
    house: House, caller: Caller, base_id: str, key: str, field: str | None = None, purpose: str | None = None
) -> Explanation:
    """Explain one record of a base, or one field of it, to somebody.

    Raises:
        NotFound: no such base, build, key or field; recorded as well, since the asking is what an auditor looks for.
        Unavailable: something is not answering; nothing was given.
    """
    asked = AccessEntry(
        department=caller.department or None,
        client=caller.client_id,
        person=caller.person,
        purpose=purpose,
        action="explain",
        target=f"base:{base_id}",
        fields=() if field is None else (field,),
        subject_key=key,
        decision="refused",
    )
    try:
        found = explain(house, base_id, key, field)
    except NotFound as missing:
        access_log.append(house, _without_answer(asked, missing))
        raise
    answered = _with_answer(house, asked, found)
    about = [replace(answered, subject_key=found.key)] if found.asked is not None else []  # the answer is about both
    access_log.append(house, answered, *about)
    return found


def _with_answer(house: House, asked: AccessEntry, found: Explanation) -> AccessEntry:
    answer = json.dumps(found.as_dict(), ensure_ascii=False, default=str)
    return replace(
        asked,
        version=found.build,
        fields=tuple(one.field for one in found.fields),
        answer_digest=house.seal.keyed_hash("answer", answer.encode()),
        decision="answered",
    )


def _without_answer(asked: AccessEntry, missing: NotFound) -> AccessEntry:
    """That the key is in no golden record is an answer about a person; that there is no such base or field is none."""
    if "build" in missing.facts:
        return replace(asked, version=str(missing.facts["build"]), decision="not_found")
    return replace(asked, reason=f"{missing.code}: {missing.zh}")
