"""Verdicts by mail and webhook: real servers take them; off unless set, at least once, never in a verdict's way."""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import uvicorn
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI, Request, Response
from sqlalchemy import select

from exchange.house import House
from exchange.registry.models import Event, Notice
from infra import messenger
from quality import gate, notices
from tests import make
from tests.infra.test_courier import nobody_there
from tests.quality import kit

PLACE = make.resource(
    "place",
    make.POLICE,
    [make.item("code", "编号", "C10", required=True), make.item("rooms", "房间数", "I3")],
    ["code"],
    title="场所",
)


@dataclass
class Box:
    """What a server took, and what it does before it says so."""

    taken: list[Any] = field(default_factory=list)
    answer: str = "250 taken"
    status: int = 200
    before: Callable[[], None] = lambda: None


class _Handler:
    def __init__(self, box: Box) -> None:
        self.box = box

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        self.box.taken.append(message_from_bytes(envelope.content or b"", policy=policy.default))  # type: ignore[arg-type]
        self.box.before()
        return self.box.answer


@contextmanager
def mail_server(box: Box) -> Iterator[str]:
    """An SMTP server; its address as a setting."""
    server = Controller(_Handler(box), hostname="127.0.0.1", port=nobody_there())
    server.start()
    try:
        yield f"smtp://127.0.0.1:{server.port}"
    finally:
        server.stop()


@contextmanager
def web_server(box: Box) -> Iterator[str]:
    """An HTTP server of a department; the address verdicts are posted to."""
    app = FastAPI()

    @app.post("/verdicts")
    async def take(request: Request) -> Response:
        box.taken.append((dict(request.headers), await request.body()))
        box.before()
        return Response(status_code=box.status)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/verdicts"
    finally:
        server.should_exit = True
        thread.join()


def told_by(house: House, **settings: Any) -> House:
    """The house with channels set."""
    return House(house.settings.model_copy(update=settings), house.seal, house.databases, house.registry)


def by_mail(house: House, url: str) -> House:
    from pydantic import SecretStr

    return told_by(house, mail_url=SecretStr(url), mail_from="exchange@city.example", public_url="https://city.example/")


def publish(house: House, **addresses: str) -> None:
    departments = [make.some_departments()[0] | addresses, *make.some_departments()[1:]]
    make.small_city(house, departments=departments, resources=[PLACE], bases=[])


def judged(house: House, batch: int = 1) -> str:
    push = kit.land(house, "place", ["编号", "房间数"], [["A1", "1"], ["A2", "金丝雀"]], batch=batch)
    assert gate.check(house, push).decision == "rejected"
    return push


def notice(house: House) -> Notice:
    with house.registry.session() as session:
        return session.scalars(select(Notice)).one()


def test_nothing_is_sent_unless_it_is_set(house: House) -> None:
    publish(house, email="data@police.example", webhook="http://127.0.0.1:9/verdicts")
    judged(house)
    assert not messenger.on(house)
    assert messenger.deliver(house) == []
    assert notices.listed(house) == []


def test_a_department_without_an_address_is_not_written_to(house: House) -> None:
    publish(house)
    loud = by_mail(house, "smtp://127.0.0.1:9")
    judged(told_by(loud, webhooks=True))
    assert notices.listed(house) == []


def test_a_verdict_goes_out_by_mail_in_two_languages_and_without_a_value(house: House) -> None:
    publish(house, email="data@police.example")
    box = Box()
    with mail_server(box) as url:
        loud = by_mail(house, url)
        push = judged(loud)
        assert [(one.id, one.sent, one.failure) for one in messenger.deliver(loud)] == [
            (f"{push}.decided.mail", True, None)
        ]
        assert messenger.deliver(loud) == []
    (letter,) = box.taken
    assert isinstance(letter, EmailMessage)
    assert (letter["To"], letter["From"], letter["Message-ID"]) == (
        "data@police.example",
        "exchange@city.example",
        f"<{push}.decided.mail@city.example>",
    )
    assert letter["Subject"] == "质检结论：场所 第 1 批 退回 / place batch 1 rejected"
    body = letter.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").strip() == (
        f"场所 第 1 批（回执 {push}）：退回\n"
        "2 行中有 1 行（50.00%）未通过，超过上限 5.00%，整批退回；请按行错误文件改正后用新批次号重新推送\n"
        "共 2 行，接受 1 行，隔离 1 行，提示 0 行。\n"
        "· 房间数应为 I 型（BIGINT）（rooms.type）：1 行，行号 2\n"
        f"质量报告（需令牌）：https://city.example/v1/pushes/{push}/report\n"
        "\n"
        f"place, batch 1 (receipt {push}): rejected\n"
        "1 of 2 rows (50.00%) failed, above the limit of 5.00%, so the push is rejected; mend them by the row-error file and "
        "push again under a new batch number\n"
        "2 rows: 1 accepted, 1 quarantined, 0 with a warning.\n"
        "- rooms is a BIGINT (rooms.type): 1 row(s), numbers 2\n"
        f"Quality report (needs a token): https://city.example/v1/pushes/{push}/report"
    )
    with house.registry.session() as session:
        event = session.scalars(select(Event).where(Event.tag == "notice:push:send")).one()
    assert (event.object_id, event.department_code) == (push, make.POLICE)
    assert event.facts == {"notice": f"{push}.decided.mail", "channel": "mail", "tries": 1, "failure": None}


def test_a_verdict_is_posted_and_signed(house: House) -> None:
    box = Box()
    with web_server(box) as address:
        publish(house, webhook=address)
        loud = told_by(house, webhooks=True)
        push = judged(loud)
        assert [one.sent for one in messenger.deliver(loud)] == [True]
    headers, body = box.taken[0]
    told = json.loads(body)
    assert (told["id"], told["push_id"], told["batch"], told["decision"]) == (
        f"{push}.decided.webhook",
        push,
        1,
        "rejected",
    )
    assert told["failed_rules"] == [
        {
            "id": "rooms.type",
            "level": "quarantine",
            "title": "房间数应为 I 型（BIGINT）",
            "title_en": "rooms is a BIGINT",
            "failed": 1,
            "rows": [2],
        }
    ]
    assert "金丝雀" not in body.decode()
    key = bytes.fromhex(notices.secret(house, make.POLICE))
    signed = hmac.new(key, headers["exchange-timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["exchange-signature"] == f"sha256={signed}"
    assert headers["exchange-message-id"] == told["id"]
    assert notices.secret(house, make.CIVIL) != notices.secret(house, make.POLICE)


@pytest.mark.parametrize(("channel", "failure"), [("mail", "SMTPDataError 451"), ("webhook", "HTTP 503")])
def test_what_is_not_taken_rests_and_goes_out_later_under_the_same_id(house: House, channel: str, failure: str) -> None:
    box = Box(answer="451 later, 13912345678", status=503)
    with mail_server(box) as url, web_server(box) as address:
        publish(house, **({"email": "data@police.example"} if channel == "mail" else {"webhook": address}))
        loud = by_mail(house, url) if channel == "mail" else told_by(house, webhooks=True)
        push = judged(loud)
        now = datetime.now(UTC)
        assert [(one.sent, one.failure) for one in messenger.deliver(loud, now)] == [(False, failure)]
        assert len(box.taken) == messenger.AT_ONCE
        assert gate.verdict(house, push).decision == "rejected"
        resting = notice(house)
        assert (resting.tries, resting.sent_at, resting.failure) == (1, None, failure)
        assert resting.due_at == now + timedelta(minutes=1)
        assert messenger.deliver(loud, now + timedelta(seconds=59)) == []
        box.answer, box.status = "250 taken", 204
        assert [one.sent for one in messenger.deliver(loud, now + timedelta(minutes=1))] == [True]
    ids = {one["Message-ID"] if channel == "mail" else one[0]["exchange-message-id"] for one in box.taken}
    assert (len(box.taken), len(ids)) == (3, 1)


def test_after_three_days_it_is_given_up_and_nobody_else_waits_for_it(house: House) -> None:
    publish(house, webhook=f"http://127.0.0.1:{nobody_there()}/verdicts")
    loud = told_by(house, webhooks=True)
    push = judged(loud)
    now = datetime.now(UTC)
    assert [one.failure for one in messenger.deliver(loud, now + timedelta(days=2))] == ["ConnectError"]
    assert [one.failure for one in messenger.deliver(loud, now + timedelta(days=4))] == ["ConnectError"]
    assert messenger.deliver(loud, now + timedelta(days=9)) == []
    with house.registry.session() as session:
        event = session.scalars(select(Event).where(Event.tag == "notice:push:give-up")).one()
    assert (event.object_id, event.facts["tries"]) == (push, 2)
    assert (notice(house).sent_at, notice(house).due_at) == (None, None)


def test_a_password_never_goes_out_in_plain(house: House) -> None:
    publish(house, email="data@police.example")
    box = Box()
    with mail_server(box) as url:
        loud = by_mail(house, url.replace("smtp://", "smtp://user:secret@"))
        judged(loud)
        assert [one.failure for one in messenger.deliver(loud)] == ["no-tls"]
    assert box.taken == []


@pytest.mark.parametrize("channel", ["mail", "webhook"])
def test_killed_after_it_was_taken_and_before_that_was_recorded_it_goes_out_again_under_the_same_id(
    house: House, channel: str
) -> None:
    box = Box()
    with mail_server(box) as url, web_server(box) as address:
        publish(house, **({"email": "data@police.example"} if channel == "mail" else {"webhook": address}))
        loud = by_mail(house, url) if channel == "mail" else told_by(house, webhooks=True)
        push = judged(loud)
        messengers: list[subprocess.Popen[bytes]] = []

        def kill() -> None:
            messengers[0].send_signal(signal.SIGKILL)

        box.before = kill
        told = {
            f"EXCHANGE_{name.upper()}": str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)
            for name, value in loud.settings.model_dump(exclude_none=True).items()
        }
        command = [sys.executable, "-c", "from api.cli import main; main()", "notice", "send", "--json"]
        messengers.append(subprocess.Popen(command, env=os.environ | told, stdout=subprocess.DEVNULL))
        assert messengers[0].wait(240) == -signal.SIGKILL
        assert len(box.taken) == 1
        assert (notice(house).sent_at, notice(house).tries) == (None, 0)
        box.before = lambda: None
        assert [one.sent for one in messenger.deliver(loud)] == [True]
    ids = [one["Message-ID"] if channel == "mail" else one[0]["exchange-message-id"] for one in box.taken]
    assert len(ids) == 2
    assert set(ids) == {f"<{push}.decided.mail@city.example>" if channel == "mail" else f"{push}.decided.webhook"}


def test_a_confirmed_push_is_told_a_second_time(house: House) -> None:
    publish(house, email="data@police.example")
    box = Box()
    with mail_server(box) as url:
        loud = by_mail(house, url)
        rows = [[f"A{n}", "1"] for n in range(10)]
        gate.check(loud, kit.land(house, "place", ["编号", "房间数"], rows))
        held = kit.land(house, "place", ["编号", "房间数"], rows[:2], batch=2)
        assert gate.check(loud, held).decision == "held"
        gate.confirm(loud, kit.POLICE, held)
        messenger.deliver(loud)
    subjects = [letter["Subject"] for letter in box.taken]
    assert len(subjects) == 3
    assert {letter["Message-ID"].split(".")[1] for letter in box.taken} == {"decided", "confirmed"}
