"""Running Airflow: its environment, its database, its processes, and the one client that starts its runs.

Invariant: everything Airflow needs is computed from settings and the master key; nothing of it is kept by hand.
It runs DAGs that are generated from the catalogue; whatever it knows can be lost and is found again by the courier.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from exchange.databases import Databases
from exchange.errors import NotFound, Unavailable, WrongState
from exchange.seal import Seal
from exchange.settings import Settings

ROOT = Path(__file__).parents[1]
ADMIN = "admin"


@dataclass(frozen=True)
class Process:
    """A program to keep running: its name, its command and what it needs in its environment beyond the common."""

    name: str
    arguments: tuple[str, ...]
    extra: tuple[tuple[str, str], ...] = ()


def password(seal: Seal) -> str:
    """The password of Airflow's own pages, user `admin`: derived from the master key."""
    return seal.password("airflow admin")


def address(settings: Settings) -> str:
    """Where Airflow's pages are."""
    return f"http://{settings.api_host}:{settings.airflow_port}"


def own_settings(settings: Settings) -> dict[str, str]:
    """The house's settings as the environment that a child process reads them from."""
    spelled = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None:
            continue
        if name == "data":
            value = settings.root
        elif name == "keys":
            value = settings.key_folder
        elif hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        elif isinstance(value, int) and not isinstance(value, bool):
            value = int(value)  # a ByteSize prints itself rounded
        spelled[f"EXCHANGE_{name.upper()}"] = str(value)
    return spelled


def environment(settings: Settings, seal: Seal) -> dict[str, str]:
    """Everything Airflow's processes and the tasks in them read from their environment.

    Raises:
        Unavailable: the embedded PostgreSQL was never started here.
    """
    home = settings.folder("airflow")
    logs = settings.folder("logs") / "airflow"
    key = base64.urlsafe_b64encode(seal.derive("airflow fernet")).decode()
    options: dict[str, dict[str, object]] = {
        "CORE": {
            "EXECUTOR": "LocalExecutor",
            "PARALLELISM": settings.airflow_parallelism,
            "DAGS_FOLDER": ROOT / "dags",
            "LOAD_EXAMPLES": False,
            "DAGS_ARE_PAUSED_AT_CREATION": False,
            "SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
            "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
            "FERNET_KEY": key,
            "DEFAULT_TIMEZONE": "Asia/Shanghai",
            "MIN_SERIALIZED_DAG_UPDATE_INTERVAL": 1,
            "EXECUTION_API_SERVER_URL": f"{address(settings)}/execution/",
            "HOSTNAME_CALLABLE": "socket.gethostname",  # getfqdn asks a name server
        },
        "DATABASE": {
            "SQL_ALCHEMY_CONN": Databases.find(settings, seal).airflow.url("postgresql+psycopg2"),
        },
        "SCHEDULER": {
            "SCHEDULER_IDLE_SLEEP_TIME": 0.5,
            "TASK_INSTANCE_HEARTBEAT_TIMEOUT": 60,
            "PARSING_CLEANUP_INTERVAL": 30,
        },
        "DAG_PROCESSOR": {
            "PARSING_PROCESSES": 1,
            "MIN_FILE_PROCESS_INTERVAL": 60,
            "STALE_DAG_THRESHOLD": 5,
        },
        "API": {
            "HOST": settings.api_host,
            "PORT": settings.airflow_port,
            "BASE_URL": address(settings),
            "WORKERS": 1,
            "SECRET_KEY": seal.derive("airflow api").hex(),
            "INSTANCE_NAME": "政务数据共享交换平台",
        },
        "API_AUTH": {"JWT_SECRET": seal.derive("airflow tokens").hex(), "JWT_ISSUER": "exchange"},
        "LOGGING": {
            "BASE_LOG_FOLDER": logs,
            "DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": logs / "dag_processor",
            "COLORED_CONSOLE_LOG": False,
            "FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
            "FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        },
        "USAGE_DATA_COLLECTION": {"ENABLED": False},
        "METRICS": {"STATSD_ON": False},
    }
    ours = {
        f"AIRFLOW__{section}__{name}": str(value) for section, values in options.items() for name, value in values.items()
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "EXCHANGE_"))}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {
        **kept,
        **ours,
        **own_settings(settings),
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(paths),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "GX_ANALYTICS_ENABLED": "false",
    }


def prepare(settings: Settings, seal: Seal) -> None:
    """Write the password file Airflow reads; it makes one of its own, and prints it, when there is none."""
    path = settings.folder("airflow") / "passwords.json"
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps({ADMIN: password(seal)}) + "\n")
    draft.replace(path)


def migrate(settings: Settings) -> None:
    """Make or upgrade Airflow's metadata. Takes seconds when there is nothing to do.

    Raises:
        Unavailable: it fails; the message ends with Airflow's own last lines.
    """
    seal = Seal.open(settings.key_folder)
    log = settings.folder("logs") / "airflow-migrate.log"
    prepare(settings, seal)
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=environment(settings, seal),
            cwd=settings.folder("airflow"),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise Unavailable(f"Airflow 数据库升级失败，见 {log}：\n{tail}", f"airflow db migrate failed; see {log}")


def processes() -> tuple[Process, ...]:
    """What runs: the server (pages and the tasks' own interface), the scheduler with its workers, the DAG processor."""
    airflow = (sys.executable, "-m", "airflow")
    preload = os.pathsep.join([str(ROOT / "infra" / "preload"), str(ROOT)])
    return (
        Process("airflow-server", (*airflow, "api-server")),
        Process("airflow-scheduler", (*airflow, "scheduler", "--skip-serve-logs"), (("PYTHONPATH", preload),)),
        Process("airflow-dag-processor", (*airflow, "dag-processor")),
    )


class Client:
    """Airflow's REST interface, as `admin`. One per thread."""

    def __init__(self, settings: Settings, seal: Seal) -> None:
        self._http = httpx.Client(base_url=address(settings), timeout=30, trust_env=False)
        self._password = password(seal)
        self._token: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def healthy(self) -> dict[str, bool]:
        """Which parts say they are well; empty when the server does not answer."""
        with suppress(httpx.HTTPError, ValueError):
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
            if answer.status_code == httpx.codes.OK:
                parts = ("metadatabase", "scheduler", "dag_processor")
                return {part: (answer.json().get(part) or {}).get("status") == "healthy" for part in parts}
        return {}

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, str]) -> bool:
        """Start a run under this id; False when it is there already.

        Raises:
            NotFound: no such DAG yet (Airflow reads a new catalogue within seconds).
            WrongState: the DAG file has import errors.
            Unavailable: no answer, or one we don't understand.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        answer = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"Airflow 里还没有 {dag_id}", f"Airflow has no DAG {dag_id} yet", dag=dag_id)
        if answer.status_code == httpx.codes.BAD_REQUEST:
            raise WrongState(f"Airflow 现在不能运行 {dag_id}", f"Airflow cannot run {dag_id} now", dag=dag_id)
        self._expect(answer)
        return True

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """queued, running, success or failed; None when there is no such run."""
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return str(self._expect(answer)["state"])

    def runs(self, dag_id: str, *, states: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The runs of a DAG (`~` for all), newest first, at most 100."""
        parameters = {"order_by": "-run_after", "limit": 100, "state": list(states)}
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=parameters)
        return list(self._expect(answer)["dag_runs"])

    def dags(self) -> dict[str, dict[str, Any]]:
        """Every DAG Airflow has read, by id."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = self._expect(self._call("GET", "/api/v2/dags", params={"limit": 100, "offset": len(found)}))
            found |= {dag["dag_id"]: dag for dag in page["dags"]}
            if not page["dags"] or len(found) >= page["total_entries"]:
                return found

    def read_again(self) -> None:
        """Have the DAG file read again now: the catalogue has changed."""
        for dag in list(self.dags().values())[:1]:
            answer = self._call("PUT", f"/api/v2/parseDagFile/{dag['file_token']}")
            if answer.status_code != httpx.codes.CONFLICT:  # somebody asked already
                self._expect(answer)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._send(method, path, options)
            if answer.status_code == httpx.codes.UNAUTHORIZED:  # a token lives a day
                self._token = None
                answer = self._send(method, path, options)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"Airflow（{self._http.base_url}）没有应答",
                f"Airflow at {self._http.base_url} does not answer ({type(error).__name__})",
            ) from None
        return answer

    def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        if self._token is None:
            answer = self._http.post("/auth/token", json={"username": ADMIN, "password": self._password})
            self._token = str(self._expect(answer)["access_token"])
        return self._http.request(method, path, headers={"Authorization": f"Bearer {self._token}"}, **options)

    def _expect(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_success:
            return dict(answer.json()) if answer.content and answer.text != "null" else {}
        raise Unavailable(
            f"Airflow 拒绝了 {answer.request.method} {answer.request.url.path}：{answer.status_code}",
            f"Airflow refused {answer.request.method} {answer.request.url.path}: {answer.status_code}",
        )
