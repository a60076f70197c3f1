"""The clock: every DAG is generated from the catalogue's snapshot, `<data>/catalogue.json`.

push_<resource>   check -> pool     one run per push; run id and conf name it; a pooled push updates pool://<resource>
base_<base>       merge -> swap     whenever a pool it is made of changed; one run at a time
theme_<theme>     refresh -> serve  whenever a base or pool it reads changed; stops where a grant no longer covers it
clock             overdue, renumber, verify, age_out, purge, daily

Invariant: no decision is made here, ids are passed and never data, and logs hold ids and counts only. Reading this file
opens no database and imports nothing heavy; a bad entry becomes a DAG that fails and says why, beside all the others.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetAny,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    get_current_context,
    get_parsing_context,
    task,
)
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from exchange.catalogue.snapshot import read_snapshot

if TYPE_CHECKING:
    from exchange.house import House

SNAPSHOT = Path(os.environ.get("EXCHANGE_DATA", "var")) / "catalogue.json"
START = datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=8)))
NAME = re.compile(r"^[a-z][a-z0-9_]{1,47}$")
RELATION = re.compile(r"^(base|pool):[a-z][a-z0-9_]{1,47}$")
MIDNIGHT = CronTriggerTimetable("5 0 * * *", timezone="Asia/Shanghai")  # when the orders of a new day are in force
AGAIN: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=5), "retry_exponential_backoff": True}

log = logging.getLogger(__name__)


class BadEntry(ValueError):
    """An entry of the snapshot that no DAG can be made of; says what was found and what is expected."""


# ── what tasks do ────────────────────────────────────────────────────────────────────────────────────────────────────


def careful(work: Callable[..., str]) -> Callable[..., str]:
    """Let only our own, value-free sentences into the log: an engine's error may quote the value it stumbled on."""

    @wraps(work)
    def guarded(*arguments: str) -> str:
        from exchange import faults
        from exchange.errors import ExchangeError, Unavailable

        try:
            return work(*arguments)
        except AirflowException:
            raise
        except Unavailable as error:
            raise AirflowException(str(error)) from None  # retried
        except ExchangeError as error:
            raise AirflowFailException(f"{error.code}: {error}") from None  # the same again would end the same
        except Exception as error:  # noqa: BLE001
            raise AirflowException(faults.places(error)) from None

    return guarded


@contextmanager
def opened() -> Iterator["House"]:
    """The house, for one task."""
    from exchange.house import House
    from exchange.settings import read_settings

    house = House.open(read_settings())
    try:
        yield house
    finally:
        house.registry.close()


def progress(step: str, done: int, total: int) -> None:
    """A line in the task's log."""
    log.info("%s %d/%d", step, done, total)


def check() -> str:
    """One verdict for the push this run is about."""
    from quality import gate

    push_id = _push_id()
    with opened() as house:
        verdict = gate.check(house, push_id, progress)
    log.info(
        "%s: %s, %d accepted, %d quarantined", push_id, verdict.decision, verdict.accepted_rows, verdict.quarantined_rows
    )
    return push_id


def pool(push_id: str) -> str:
    """The accepted push becomes the pool's next version, and what is served; with it those that waited for it."""
    from exchange.intake import pushes
    from pools import index
    from pools.pool import admit_in_turn

    with opened() as house:
        receipt = pushes.get(house, push_id)
        commits = admit_in_turn(house, push_id)
        if not commits:
            raise AirflowSkipException(f"{push_id} 未入池 / not pooled: {receipt.state}")
        version = index.swap(house, f"pool:{receipt.resource_id}")
    log.info("%s: %d version(s) pooled, %d rows, serving %s", push_id, len(commits), commits[-1].rows, version)
    return push_id


def merge(base_id: str) -> str:
    """Pools become golden records."""
    from pools import merge as merging

    with opened() as house:
        built = merging.build(house, base_id, progress)
    if built is None:
        log.info("%s: nothing new to merge", base_id)
    else:
        log.info("%s: build %s, %d rows, %d conflicts", base_id, built.id, built.rows, built.conflicts)
    return base_id


def swap(base_id: str) -> str:
    """The newest build becomes what is served; also after a merge that found nothing new, in case it was killed here."""
    from exchange.errors import NotFound
    from pools import index

    with opened() as house:
        try:
            version = index.swap(house, f"base:{base_id}")
        except NotFound:
            raise AirflowSkipException(f"{base_id} 尚未建成 / not built yet") from None
    log.info("%s: serving %s", base_id, version)
    return version


def refresh(theme_id: str) -> str:
    """A department's theme is built anew from what it reads."""
    from exchange import themes
    from pools import theme

    with opened() as house:
        if themes.view(house, theme_id)[0].in_force is None:
            raise AirflowSkipException(f"{theme_id} 尚未批准 / not approved yet")
        built = theme.build(house, theme_id, progress)
    if built is None:
        log.info("%s: nothing new to read", theme_id)
    else:
        log.info("%s: build %s, %d rows", theme_id, built.id, built.rows)
    return theme_id


def serve(theme_id: str) -> str:
    """The newest build of a theme becomes what is served; also after a refresh that found nothing new, as `swap`."""
    from exchange.errors import NotFound
    from pools import index

    with opened() as house:
        try:
            version = index.swap(house, f"theme:{theme_id}")
        except NotFound:
            raise AirflowSkipException(f"{theme_id} 尚未建成 / not built yet") from None
    log.info("%s: serving %s", theme_id, version)
    return version


def overdue() -> str:
    """Mark resources whose last accepted push is older than their update cycle allows."""
    from exchange import evaluation

    with opened() as house:
        marked = evaluation.mark_overdue(house, datetime.now(UTC))
    log.info("%d resources overdue: %s", len(marked), ", ".join(marked))
    return str(len(marked))


def renumber() -> str:
    """Build the bases again by the aliases that come into force today; a base that none concerns stays as it is."""
    from exchange import catalogue
    from pools import way

    with opened() as house:
        bases = [base.id for base in catalogue.current(house).bases]
        built = [base for base in bases if way.rebuild(house, base, progress) is not None]
    log.info("%d bases built again: %s", len(built), ", ".join(built))
    return str(len(built))


def verify() -> str:
    """Prove that the access log is whole; fails at the first record that is not."""
    from exchange import access_log

    with opened() as house:
        found = access_log.verify(house, progress)
    if not found.whole:
        raise AirflowFailException(
            f"日志在第 {found.first_broken} 条断裂 / the access log is broken at record {found.first_broken}"
        )
    log.info("%d records verified", found.records)
    return str(found.records)


def age_out() -> str:
    """Remove what no setting keeps any more: landed bytes, rejected values, old versions; receipts stay. Uploads expire."""
    from pools import ageing

    with opened() as house:
        removed = ageing.everything(house, datetime.now(UTC))
    log.info("removed: %s", ", ".join(f"{count} {what}" for what, count in removed.items()))
    return str(sum(removed.values()))


def purge() -> str:
    """Remove bodies of records past their retention; hashes stay."""
    from exchange import access_log

    with opened() as house:
        purged = access_log.purge(house, datetime.now(UTC))
    log.info("%d records purged", purged)
    return str(purged)


def _push_id() -> str:
    conf = get_current_context()["dag_run"].conf or {}
    push_id = conf.get("push_id")
    if not isinstance(push_id, str) or not re.fullmatch(r"P\d{6}-[0-9a-f]{10}", push_id):
        raise AirflowFailException("运行参数缺少 push_id / this run's conf names no push_id")
    return push_id


# ── which DAGs there are ─────────────────────────────────────────────────────────────────────────────────────────────


def step(work: Callable[..., str], **options: Any) -> Any:
    """A task of the function's own name."""
    return task(task_id=work.__name__, **AGAIN, **options)(careful(work))


def push_dag(entry: dict[str, Any]) -> DAG:
    """check -> pool, started by the courier for each landed push."""
    resource = _name(entry, "id")
    with DAG(
        f"push_{resource}",
        description=str(entry.get("title", "")),
        schedule=None,
        start_date=START,
        catchup=False,
        max_active_runs=1,  # pushes of one resource are judged and pooled in the order they came
        tags=["push", str(entry.get("department", ""))],
    ) as dag:
        step(pool, outlets=[Asset(f"pool://{resource}")])(step(check)())
    return dag


def base_dag(entry: dict[str, Any]) -> DAG:
    """merge -> swap, whenever one of its pools changed; daily too, where an order of authority comes into force on some day."""
    base = _name(entry, "id")
    sources = entry.get("key_sources")
    if not isinstance(sources, list) or not sources:
        raise BadEntry(f"基础库 {base} 没有 key_sources / base {base} has no key_sources")
    parts = [sources, *(each.get("parent_sources", ()) for each in entry.get("satellites", ()))]
    needed = sorted({_name(source, "resource") for part in parts for source in part})
    pools = AssetAny(*(Asset(f"pool://{resource}") for resource in needed))
    with DAG(
        f"base_{base}",
        description=str(entry.get("title", "")),
        schedule=AssetOrTimeSchedule(timetable=MIDNIGHT, assets=pools) if _dated(entry) else pools,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["base"],
    ) as dag:
        step(swap, outlets=[Asset(f"base://{base}")])(step(merge)(base))
    return dag


def theme_dag(entry: dict[str, Any]) -> DAG:
    """refresh -> serve, whenever something it reads changed."""
    theme = _name(entry, "id")
    reads = entry.get("reads")
    if not isinstance(reads, dict) or not reads or not all(RELATION.fullmatch(name) for name in reads):
        raise BadEntry(f"主题库 {theme} 没有写明所读的库 / theme {theme} does not say what it reads")
    with DAG(
        f"theme_{theme}",
        description=str(entry.get("title", "")),
        schedule=AssetAny(*(Asset(name.replace(":", "://")) for name in sorted(reads))),
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["theme", str(entry.get("department", ""))],
    ) as dag:
        step(serve)(step(refresh)(theme))
    return dag


def _dated(entry: dict[str, Any]) -> bool:
    """Whether the authority of any field is dated."""
    parts = [entry, *entry.get("satellites", ())]
    return any(field.get("authority") for part in parts for field in part.get("fields", ()))


def clock_dag() -> DAG:
    """What happens every night whether anybody pushes or not."""
    with DAG("clock", schedule="30 2 * * *", start_date=START, catchup=False, max_active_runs=1, tags=["clock"]) as dag:
        step(overdue)()
        step(renumber)()
        step(age_out)()
        step(verify)() >> step(purge)()
    return dag


def broken_dag(dag_id: str, finding: str) -> DAG:
    """The place where a bad entry says what is wrong with it."""
    with DAG(dag_id, description=finding, schedule=None, start_date=START, catchup=False, tags=["broken"]) as dag:

        def say() -> None:
            raise AirflowFailException(finding)

        task(task_id="catalogue_entry")(say)()
    return dag


def _name(entry: object, field: str) -> str:
    if not isinstance(entry, dict):
        raise BadEntry(f"应为对象，实为 {type(entry).__name__} / expected an object, found {type(entry).__name__}")
    value = entry.get(field)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise BadEntry(
            f"{field} 应匹配 {NAME.pattern}，实为 {value!r} / {field} must match {NAME.pattern}, found {value!r}"
        )
    return value


def generated(snapshot: dict[str, Any], wanted: str | None = None) -> dict[str, DAG]:
    """Every DAG of a catalogue by its id, or the wanted one alone: a task needs no more than its own."""
    kinds = [
        ("push", push_dag, snapshot.get("resources", ())),
        ("base", base_dag, snapshot.get("bases", ())),
        ("theme", theme_dag, snapshot.get("themes", ())),
    ]
    dags = {} if wanted not in (None, "clock") else {"clock": clock_dag()}
    for kind, make, entries in kinds:
        for number, entry in enumerate(entries, 1):
            name = entry.get("id") if isinstance(entry, dict) else None
            dag_id = f"{kind}_{name}" if isinstance(name, str) and NAME.fullmatch(name) else f"broken_{kind}_{number}"
            if wanted not in (None, dag_id):
                continue
            try:
                dags[dag_id] = make(entry)
            except Exception as error:  # noqa: BLE001
                where = f"catalogue.json, {kind} {number}"
                dags[dag_id] = broken_dag(
                    dag_id, f"{where}: {error if isinstance(error, BadEntry) else type(error).__name__}"
                )
    return dags


globals().update(generated(read_snapshot(SNAPSHOT), get_parsing_context().dag_id))
