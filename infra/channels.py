"""Ways to a department: mail (SMTP) and webhook (HTTP, signed).

Invariant: a message goes out under its own id, the same however often it is sent; what failed is told by a class or a status,
because a server's own words may quote anything. A password is sent over TLS or not at all.
"""

import hashlib
import hmac
import json
import smtplib
import ssl
import time
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from urllib.parse import unquote, urlsplit

import httpx

from exchange.errors import SettingError
from quality.notices import Message

TIMEOUT = 15.0  # seconds for each step of a delivery
_PORTS = {"smtp": 25, "smtps": 465}


class NotDelivered(Exception):
    """The other side did not take it. `what`: a class or a status."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def mail(url: str, sender: str, recipient: str, message: Message) -> None:
    """Hand a message to a mail server.

    Raises:
        NotDelivered: it did not take it. SettingError: the address can't be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise SettingError(
            "EXCHANGE_MAIL_URL 应形如 smtp://用户:密码@主机:587 或 smtps://主机",
            "EXCHANGE_MAIL_URL reads smtp://user:password@host:587 or smtps://host",
        )
    letter = _letter(sender, recipient, message)
    port = parts.port or _PORTS[parts.scheme]
    context = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(parts.hostname, port, timeout=TIMEOUT, context=context)
            if parts.scheme == "smtps"
            else smtplib.SMTP(parts.hostname, port, timeout=TIMEOUT)
        ) as server:
            server.ehlo()
            safe = parts.scheme == "smtps"
            if not safe and server.has_extn("starttls"):
                server.starttls(context=context)
                safe = True
            if parts.username and not safe:
                raise NotDelivered("no-tls")
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(letter)
    except (OSError, smtplib.SMTPException) as error:
        code = getattr(error, "smtp_code", None)
        raise NotDelivered(type(error).__name__ + (f" {code}" if code else "")) from None


def webhook(address: str, secret: str, message: Message) -> None:
    """Post a message, signed: HMAC-SHA256 by the department's secret over `<timestamp>.<body>`.

    Raises:
        NotDelivered: no answer, or any but 2xx.
    """
    body = json.dumps(message.data | {"id": message.id}, ensure_ascii=False).encode()
    stamp = str(int(time.time()))
    signature = hmac.new(bytes.fromhex(secret), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "Exchange-Message-Id": message.id,
        "Exchange-Timestamp": stamp,
        "Exchange-Signature": f"sha256={signature}",
    }
    try:
        answer = httpx.post(address, content=body, headers=headers, timeout=TIMEOUT, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(type(error).__name__) from None
    if not answer.is_success:
        raise NotDelivered(f"HTTP {answer.status_code}")


def _letter(sender: str, recipient: str, message: Message) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = sender, recipient, message.subject
    letter["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('>') or 'exchange'}>"
    letter["Date"] = format_datetime(localtime())
    letter["Auto-Submitted"] = "auto-generated"  # holiday replies stay away
    letter.set_content(message.text, cte="base64")  # no server need carry eight bits
    return letter
