"""What a judgement leaves on disk goes when its setting says so: quarantined rows, judged rows, documents and pages.

Invariant: the receipt and the verdict stay for ever, and tell what there was; what went is an event that says when.
"""

import shutil
from datetime import datetime, timedelta

from sqlalchemy import select

from exchange import events
from exchange.house import House
from exchange.registry.models import Push, Verdict


def age_out(house: House, now: datetime) -> dict[str, int]:
    """Remove what is older than `keep_quarantine`, `keep_staging` and `keep_reports`; how many files of each.

    Safe to kill and to run again.
    """
    return {
        "quarantine": _quarantine(house, now - timedelta(days=house.settings.keep_quarantine)),
        "staging": _staging(house, now - timedelta(days=house.settings.keep_staging)),
        "reports": _reports(house, now - timedelta(days=house.settings.keep_reports)),
    }


def _quarantine(house: House, before: datetime) -> int:
    """The rows of pushes judged before a moment. A push that waits to be confirmed keeps its own."""
    files = {path.stem: path for path in house.settings.folder("quarantine").glob("P*.parquet")}
    query = (
        select(Push)
        .join(Verdict, Verdict.push_id == Push.id)
        .where(Push.id.in_(files), Push.state != "held", Verdict.decided_at < before)
    )
    with house.registry.session() as session:
        gone = list(session.scalars(query))
    for push in gone:
        files[push.id].unlink(missing_ok=True)
        with house.registry.session() as session:
            facts = {"resource": push.resource_id, "batch": push.batch}
            events.record(
                session, events.Tag.QUARANTINE_AGED_OUT, department=push.department_code, object_id=push.id, **facts
            )
    return len(gone)


def _staging(house: House, before: datetime) -> int:
    """Judged rows, the tables of text they are part of, and drafts: all derived, and made again when the pool asks for them."""
    removed = 0
    tables = house.settings.folder("rows").glob("P*.parquet")  # half-made ones are intake's (exchange/intake/leftovers.py)
    for path in (*house.settings.folder("staging").iterdir(), *tables):
        try:
            old = path.stat().st_mtime < before.timestamp()
        except FileNotFoundError:
            continue
        if old:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _reports(house: House, before: datetime) -> int:
    """Documents and pages of pushes judged before a moment; a page is made again from the verdict when asked for."""
    pages = {path.stem: path for path in house.settings.folder("reports").glob("P*.html")}
    folders = {path.name: path for path in house.settings.folder("gx").glob("P*") if path.is_dir()}
    query = select(Verdict.push_id).where(Verdict.push_id.in_({*pages, *folders}), Verdict.decided_at < before)
    with house.registry.session() as session:
        gone = list(session.scalars(query))
    for push_id in gone:
        if push_id in pages:
            pages[push_id].unlink(missing_ok=True)
        if push_id in folders:
            shutil.rmtree(folders[push_id], ignore_errors=True)
    return len(gone)
