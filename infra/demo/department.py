"""A department's system, as it would be written by the department: a client id, its secret, and the API's door."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from exchange.errors import Unavailable
from exchange.seal import new_digest
from infra.demo.city import Parcel


@dataclass
class Department:
    """A department's system: a client id, its secret, and the door."""

    code: str
    name: str
    client_id: str
    secret: str
    http: httpx.Client
    purpose: str  # of what it asks for
    person: str  # in charge

    def token(self) -> str:
        """A fresh token, as any system would get one."""
        form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.secret}
        return str(expect(self.http.post("/oauth/token", data=form), 200).json()["access_token"])

    def push(self, parcel: Parcel) -> dict[str, Any]:
        """Hand a parcel over; the receipt."""
        algorithm = "sm3" if parcel.batch == 1 else "sha256"
        headers = self._bearer() | {
            "X-Batch": str(parcel.batch),
            "X-Mode": "full",
            "X-Rows": str(parcel.rows),
            "X-Digest": f"{algorithm}={_digest(parcel.path, algorithm)}",
            "X-Filename": quote(parcel.path.name),
            "Content-Length": str(parcel.path.stat().st_size),
        }
        with parcel.path.open("rb") as body:
            url = f"/v1/resources/{parcel.resource}/pushes"
            answer = self.http.post(url, content=iter(lambda: body.read(1 << 20), b""), headers=headers)
        return dict(expect(answer, 200, 201).json())

    def look(self, push_id: str) -> dict[str, Any]:
        """The receipt and, once there is one, the verdict."""
        return dict(expect(self.http.get(f"/v1/pushes/{push_id}", headers=self._bearer()), 200).json())

    def row_errors(self, push_id: str) -> str:
        """The file of quarantined rows, which only this department may fetch."""
        answer = self.http.get(f"/v1/pushes/{push_id}/row-errors", headers=self._bearer())
        return expect(answer, 200).content.decode("utf-8-sig")

    def query(self, target: str, keys: Sequence[str], fields: Sequence[str]) -> httpx.Response:
        """Ask for records by key."""
        body = {"keys": list(keys), "fields": list(fields), "purpose": self.purpose, "person": self.person}
        return self.http.post(f"/v1/query/{target}", json=body, headers=self._bearer())

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token()}"}


def _digest(path: Path, algorithm: str) -> str:
    running = new_digest(algorithm)  # type: ignore[arg-type]
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            running.update(chunk)
    return running.finalize().hex()


def expect(answer: httpx.Response, *statuses: int) -> httpx.Response:
    """The answer, if it has one of these statuses.

    Raises:
        Unavailable: it has another; says which.
    """
    if answer.status_code in statuses:
        return answer
    with suppress(ValueError):
        problem = answer.json()
        raise Unavailable(
            f"接口答复 {answer.status_code}：{problem.get('title')} {problem.get('detail')}",
            f"the API answered {answer.status_code} to {answer.request.method} {answer.request.url.path}",
        )
    raise Unavailable(f"接口答复 {answer.status_code}", f"the API answered {answer.status_code}")
