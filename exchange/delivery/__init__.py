"""The only way out: grant -> mode -> mask -> evidence -> answer.

Invariant: `deliver` alone calls a mode, and no byte of an answer, or word of a refusal, exists outside of it before its
evidence is committed. What was not granted never reaches the answer; it is not taken out afterwards.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from exchange import access_log, grants, keys, targets, themes
from exchange.access_log import AccessEntry, Decision
from exchange.callers import Caller
from exchange.delivery.mask import masked
from exchange.delivery.mode import Found, Mode, Reader, Record, Request, Row, SourceRef
from exchange.delivery.query import Query
from exchange.errors import ExchangeError, NotFound, RequestInvalid, Unavailable
from exchange.grants import GrantView, Need
from exchange.house import House
from exchange.standing import Standing, standing
from exchange.targets import Target

MODES: dict[str, Mode] = {mode.name: mode for mode in (Query(),)}
MOST_KEYS = 100
MOST_FIELDS = 300  # a base has a few dozen; each is copied into the evidence of every key
LONGEST_KEY = 128
_VERSION = re.compile(r"[PB][0-9]{6}-[0-9a-f]{10}(\.withdrawn)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Delivery:
    """An answer whose evidence is committed. `body` are the very bytes to send: their keyed digest is in the evidence."""

    request_id: str
    target: str
    version: str
    body: bytes

    def as_dict(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer


async def deliver(house: House, reader: Reader, caller: Caller, request: Request) -> Delivery:
    """Answer a request, or refuse it; either way recorded first, one record for each key; two where the key stands for another
    number: the answer is about both.

    Raises:
        RequestInvalid, AccessRefused, NotFound: refused, and recorded; `facts` hold what is missing and whom to ask.
        Unavailable: something is not answering; nothing was given.
        Exception: a fault of our own; nothing was given, and that is recorded too, as a refusal.
    """
    request = replace(request, request_id=request.request_id or new_request_id())
    try:
        delivery, found = await _answer(house, reader, caller, request)
    except Unavailable:
        raise  # neither an answer nor a refusal
    except ExchangeError as refusal:
        await _record_refusal(house, caller, request, refusal)
        raise
    except Exception:
        await _record(house, caller, request, "internal: 平台内部错误")
        raise
    digest = house.seal.keyed_hash("log answer", delivery.body)
    await access_log.aappend(
        house,
        *(
            _entry(caller, request, subject, "not_found" if record is None else "answered", found.version, digest)
            for key, record in found.records.items()
            for subject in dict.fromkeys((key, key if record is None else record.key))
        ),
    )
    return delivery


def new_request_id() -> str:
    """What caller, evidence and operator call one request by."""
    return f"R{datetime.now(_BEIJING):%y%m%d}-{secrets.token_hex(8)}"


async def _answer(house: House, reader: Reader, caller: Caller, request: Request) -> tuple[Delivery, Found]:
    known = await standing(house)
    today = grants.today()  # who answers for a field may be another tomorrow, though nothing was loaded
    target = await known.read(
        house, ("target", request.target, today), lambda session: targets.load(session, request.target)
    )
    given = await known.read(
        house,
        ("grants", caller.department, request.target),
        lambda session: grants.of(session, caller.department, request.target),
    )
    mode = _well_formed(request)
    need = Need(request.target, request.mode, request.fields, request.purpose)
    grant = grants.covering(target, given, need, today)
    if (version := request.as_of) is not None:  # it may have had another key
        target = await known.read(
            house, ("target", request.target, version), lambda session: targets.load(session, request.target, version)
        )
    asked = replace(request, keys=tuple(dict.fromkeys(keys.stored(target.key_items, key) for key in request.keys)))
    # what is served now is read in microseconds; an earlier version must not keep the others waiting
    found = mode.read(reader, asked) if asked.as_of is None else await asyncio.to_thread(mode.read, reader, asked)
    if request.target.startswith("theme:"):
        await _still_held(house, known, request.target, found.version)
    body = json.dumps(_shown(target, grant, request, found), ensure_ascii=False, separators=(",", ":")).encode()
    return Delivery(request.request_id or "", request.target, found.version, body), found


async def _still_held(house: House, known: Standing, target: str, version: str) -> None:
    """That the version of a theme that was read is still covered by what its own department was granted."""
    resting = await known.read(house, ("held", target, version), lambda session: themes.held(session, target, version))
    if resting is None:
        raise NotFound(f"{target} 没有这个版本", f"{target} has no such version", reason="no-such-version", target=target)
    resting.check(grants.today())


def _well_formed(request: Request) -> Mode:
    problems = (
        (request.mode not in MODES, "mode", f"方式只有 {'、'.join(MODES)}", f"the modes are {', '.join(MODES)}"),
        (
            not 1 <= len(request.keys) <= MOST_KEYS,
            "keys",
            f"一次应有 1 至 {MOST_KEYS} 个主键",
            f"1 to {MOST_KEYS} keys at a time",
        ),
        (
            any(not 1 <= len(key.strip()) <= LONGEST_KEY for key in request.keys),
            "keys",
            f"主键应为 1 至 {LONGEST_KEY} 个字符",
            f"a key has 1 to {LONGEST_KEY} characters",
        ),
        (
            any(_SURROGATE.search(key) for key in request.keys),
            "keys",
            "主键含有不成对的代理字符（不是文字）",
            "a key holds a lone surrogate, which is no character",
        ),
        (not request.fields, "fields", "没有写明字段", "no fields are asked for"),
        (
            len(request.fields) > MOST_FIELDS or len(set(request.fields)) < len(request.fields),
            "fields",
            f"字段不能重复，最多 {MOST_FIELDS} 个",
            f"fields may not repeat, and there are {MOST_FIELDS} at most",
        ),
        (not request.purpose.strip(), "purpose", "没有写明用途", "no purpose is stated"),
        (not (request.person or "").strip(), "person", "没有写明经办人", "no person in charge (经办人) is named"),
        (
            request.as_of is not None and not _VERSION.fullmatch(request.as_of),
            "as_of",
            "应为推送编号（P…）或构建编号（B…）",
            "is the number of a push (P…) or of a build (B…)",
        ),
    )
    wrong = [(name, zh, en) for failed, name, zh, en in problems if failed]
    if wrong:
        raise RequestInvalid(
            "请求有误：" + "；".join(f"{name} {zh}" for name, zh, _ in wrong),
            "a wrong request: " + "; ".join(f"{name}: {en}" for name, _, en in wrong),
            reason="malformed",
            missing=list(dict.fromkeys(name for name, _, _ in wrong)),
        )
    return MODES[request.mode]


def _shown(target: Target, grant: GrantView, request: Request, found: Found) -> dict[str, Any]:
    """The answer. Sources are listed once and named S1, S2 …: a hundred records mostly share a few."""
    hidden = {name: rule for name in request.fields if (rule := target.fields[name].mask) and name not in grant.unmasked}
    sources: dict[SourceRef, str] = {}
    records = [
        {"key": key, "found": False} if record is None else _shown_record(key, record, request, target.key, hidden, sources)
        for key, record in found.records.items()
    ]
    late = {name: ref.resource in target.overdue for ref, name in sources.items()}
    return {
        "request_id": request.request_id,
        "target": target.id,
        "title": target.title,
        "version": found.version,
        "grant": grant.id,
        "answered_at": datetime.now(_BEIJING).isoformat(timespec="milliseconds"),
        "overdue": any(late.values()),
        "masked": sorted(hidden),
        "not_in_version": [name for name in request.fields if found.fields is not None and name not in found.fields],
        "sources": {name: _shown_source(ref, target) for ref, name in sources.items()},
        "records": records,
    }


def _shown_record(
    key: str,
    record: Record,
    request: Request,
    key_name: str | None,
    hidden: Mapping[str, str],
    sources: dict[SourceRef, str],
) -> dict[str, Any]:
    if key_name is not None:  # the number that counts is among the values when the key was asked for, as any other field is
        record = replace(record, values={**record.values, key_name: record.key})
    own = [name for name in request.fields if "." not in name]
    shown = {"key": key, "found": True} | _shown_values(record, own, "", hidden, sources)
    if request.satellites:
        shown["satellites"] = {
            satellite: [
                _shown_values(row, request.fields, f"{satellite}.", hidden, sources) for row in record.rows[satellite]
            ]
            for satellite in request.satellites
        }
    return shown if record.renumbered is None else shown | {"renumbered": asdict(record.renumbered)}


def _shown_values(
    said: Record | Row, names: Sequence[str], prefix: str, hidden: Mapping[str, str], sources: dict[SourceRef, str]
) -> dict[str, Any]:
    """A record's own values, or a row's under it: those of the names that begin with the prefix, by what follows."""
    values, whose = {}, {}
    for name in (name.removeprefix(prefix) for name in names if name.startswith(prefix)):
        value, rule = said.values.get(name), hidden.get(prefix + name)
        values[name] = value if rule is None else masked(rule, value)
        ref = said.sources.get(name)
        if ref is not None:
            whose[name] = sources.setdefault(ref, f"S{len(sources) + 1}")
    return {"closed": said.closed, "values": values, "sources": whose}


def _shown_source(ref: SourceRef, target: Target) -> dict[str, Any]:
    stated = ref.source_date.isoformat() if isinstance(ref.source_date, date) else ref.source_date
    return {
        "resource": ref.resource,
        "department": ref.department,
        "provider": ref.provider,
        "push": ref.push,
        "batch": ref.batch,
        "source_date": stated,
        "overdue": ref.resource in target.overdue,
    }


async def _record_refusal(house: House, caller: Caller, request: Request, refusal: ExchangeError) -> None:
    seq = await _record(house, caller, request, f"{refusal.facts.get('reason', refusal.code)}: {refusal.zh}")
    refusal.facts |= {"request_id": request.request_id, "recorded": seq}


async def _record(house: House, caller: Caller, request: Request, reason: str) -> int:
    """That nothing was given, key by key."""
    keys: tuple[str | None, ...] = request.keys[:MOST_KEYS] or (None,)
    return await access_log.aappend(house, *(_entry(caller, request, key, "refused", reason=reason) for key in keys))


def _entry(
    caller: Caller,
    request: Request,
    key: str | None,
    decision: Decision,
    version: str | None = None,
    digest: str | None = None,
    reason: str | None = None,
) -> AccessEntry:
    return AccessEntry(
        department=caller.department or None,
        client=caller.client_id,
        person=request.person or caller.person,
        purpose=request.purpose,
        action=request.mode,
        target=targets.as_typed(request.target),
        version=version,
        fields=targets.fields_as_typed(request.fields),
        subject_key=key,
        answer_digest=digest,
        decision=decision,
        reason=reason,
        request_id=request.request_id,
    )


__all__ = ["MODES", "Delivery", "deliver", "new_request_id"]
