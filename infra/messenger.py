"""The messenger tells departments their verdicts: each notice that is due goes out by its channel.

Invariant: the control database is the outbox. A notice is marked sent only after the other side took it, so it goes out at
least once, and again under the same id when we die in between. What is not taken rests longer after each try, keeps nobody
else from hearing, and is given up after GIVE_UP.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import tenacity
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import faults
from exchange.errors import ExchangeError, SettingError
from exchange.events import Tag, record
from exchange.house import House
from exchange.registry.models import Department, Notice, Push
from infra import channels
from infra.channels import NotDelivered
from quality import notices
from quality.notices import Message

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two looks
PATIENCE = 15.0  # seconds after a look that failed
AT_ONCE = 2  # tries in one look
REST = timedelta(minutes=1)  # after the first look that failed; twice as long each time
LONGEST_REST = timedelta(hours=1)
GIVE_UP = timedelta(days=3)


@dataclass(frozen=True)
class Delivered:
    """What became of one notice in one look."""

    id: str
    sent: bool
    failure: str | None


def on(house: House) -> bool:
    """Whether any channel is set."""
    return house.settings.mail_url is not None or house.settings.webhooks


def deliver(house: House, now: datetime | None = None) -> list[Delivered]:
    """Send everything that is due; each notice is a transaction of its own."""
    moment, done = now or datetime.now(UTC), list[Delivered]()
    while (one := _next(house, moment, [each.id for each in done])) is not None:
        done.append(one)
    return done


def work(house: House, stop: threading.Event) -> None:
    """Deliver until told to stop."""
    pause = EVERY
    while not stop.wait(pause):
        pause = EVERY
        try:
            for one in deliver(house):
                log.info("notice %s: %s", one.id, "sent" if one.sent else one.failure)
        except Exception as error:  # noqa: BLE001 its text may quote data: class and places only
            log.error("the messenger stumbled: %s", faults.places(error))
            pause = PATIENCE


def _next(house: House, now: datetime, seen: list[str]) -> Delivered | None:
    """Send the notice that is due first; while it is sent it is locked, so that two messengers don't send it both."""
    query = select(Notice).where(Notice.due_at <= now, Notice.id.not_in(seen)).order_by(Notice.due_at, Notice.id).limit(1)
    with house.registry.session() as session:
        notice = session.scalar(query.with_for_update(skip_locked=True))
        if notice is None:
            return None
        push = session.get_one(Push, notice.push_id)
        department = session.get_one(Department, push.department_code)
        failure = _try(house, notice, department)
        notice.tries += 1
        notice.failure = failure
        if failure is None:
            notice.sent_at, notice.due_at = now, None
            _say(session, Tag.NOTICE_SENT, push, notice)
        elif now - notice.made_at > GIVE_UP:
            notice.due_at = None
            _say(session, Tag.NOTICE_GIVEN_UP, push, notice)
        else:
            notice.due_at = now + min(REST * 2 ** min(notice.tries - 1, 20), LONGEST_REST)
        return Delivered(notice.id, failure is None, failure)


def _try(house: House, notice: Notice, department: Department) -> str | None:
    """Send it, a second time at once if need be; what it failed of."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(NotDelivered),
        stop=tenacity.stop_after_attempt(AT_ONCE),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=2),
        reraise=True,
    )
    try:
        message = notices.compose(house, notice.id, notice.push_id)
        retrying(_send, house, notice.channel, department, message)
    except NotDelivered as error:
        return error.what
    except ExchangeError as error:
        return error.code
    return None


def _send(house: House, channel: str, department: Department, message: Message) -> None:
    settings = house.settings
    if channel == "mail" and settings.mail_url is not None and department.email is not None:
        if settings.mail_from is None:
            raise SettingError(
                "设置了 EXCHANGE_MAIL_URL，还须设置发件人 EXCHANGE_MAIL_FROM",
                "EXCHANGE_MAIL_URL needs the sender, EXCHANGE_MAIL_FROM, beside it",
            )
        channels.mail(settings.mail_url.get_secret_value(), settings.mail_from, department.email, message)
    elif channel == "webhook" and settings.webhooks and department.webhook is not None:
        channels.webhook(department.webhook, notices.secret(house, department.code), message)
    else:
        raise NotDelivered("channel-off")  # switched off since, or the address was taken out


def _say(session: Session, tag: Tag, push: Push, notice: Notice) -> None:
    facts = {"notice": notice.id, "channel": notice.channel, "tries": notice.tries, "failure": notice.failure}
    record(session, tag, department=push.department_code, object_id=push.id, **facts)
