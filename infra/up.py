"""Everything in the foreground: PostgreSQL, the HTTP door, Airflow, the courier; started together, stopped together.

Invariant: nothing started here outlives this process, however it ends. Each program runs under a keeper
(infra/keeper.py), which the kernel tells when we die; the embedded PostgreSQL has a holder who stops it then.
A program that ends by itself is started again, later each time.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from exchange.databases import Databases
from exchange.errors import SettingError, Unavailable
from exchange.house import House, key_for
from exchange.registry import migrate as migrate_registry
from exchange.seal import Seal
from exchange.settings import Settings
from infra import airflow, keeper, messenger, postgres
from infra.airflow import Process
from infra.courier import Courier
from infra.watcher import watch

GRACE = 15.0  # seconds a program has to end by itself
READY = 180.0  # seconds everything has to become ready
KEPT_LOG = 10 * 1024**2  # a larger log starts anew on the next start; the one before is kept

log = logging.getLogger(__name__)


class Stopped(BaseException):
    """We were told to stop. Not an error: it ends the foreground and lets every `finally` run."""


@dataclass
class Running:
    """A program under its keeper, and how often it had to be started again."""

    process: Process
    keeper: subprocess.Popen[bytes]
    restarts: int = 0
    again_at: float | None = None


@dataclass
class Services:
    """The programs of one house. Start and tend from one thread: the kernel ties a keeper to the thread that made it."""

    settings: Settings
    environment: dict[str, str]
    running: dict[str, Running] = field(default_factory=dict)

    def start(self, process: Process) -> None:
        """Start a program under a keeper, its output in `<data>/logs/<name>.log`."""
        self.running[process.name] = Running(process, self._spawn(process))

    def tend(self) -> None:
        """Start again what has ended by itself: after 1 s, then 2, 4 … at most 30."""
        for each in self.running.values():
            if each.again_at is None and each.keeper.poll() is not None:
                pause = min(2.0**each.restarts, 30.0)
                each.again_at = time.monotonic() + pause
                log.warning("%s ended (%s), again in %.0f s", each.process.name, each.keeper.returncode, pause)
            elif each.again_at is not None and time.monotonic() >= each.again_at:
                each.keeper, each.restarts, each.again_at = self._spawn(each.process), each.restarts + 1, None

    def stop(self) -> None:
        """End every program and all that descends from it."""
        for each in reversed(self.running.values()):
            with suppress(ProcessLookupError):
                each.keeper.terminate()
        for each in self.running.values():
            try:
                each.keeper.wait(GRACE + 10)
            except subprocess.TimeoutExpired:
                each.keeper.kill()  # its program dies with it
                each.keeper.wait()
        self.running.clear()

    def log_of(self, name: str) -> Path:
        """Where a program writes."""
        return self.settings.folder("logs") / f"{name}.log"

    def _spawn(self, process: Process) -> subprocess.Popen[bytes]:
        path = self.log_of(process.name)
        if path.exists() and path.stat().st_size > KEPT_LOG:
            path.replace(path.with_suffix(".log.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as output:
            return subprocess.Popen(
                keeper.command(list(process.arguments), grace=GRACE),
                env=self.environment | dict(process.extra),
                cwd=self.settings.folder("airflow"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we tell them
            )


def prepare(settings: Settings) -> bool:
    """Make or upgrade everything that is kept: master key, databases, lake, Airflow's metadata. True the first time.

    Needs the embedded server running (`postgres.running`) or EXCHANGE_DATABASE_URL; safe to run twice.

    Raises:
        SettingError, KeyMissing, Unavailable: as their messages say.
    """
    first = prepare_house(settings)
    airflow.migrate(settings)
    return first


def prepare_house(settings: Settings) -> bool:
    """`prepare` without Airflow."""
    from pools import lake

    first = not (settings.key_folder / "master.key").exists()
    seal = key_for(settings)
    migrate_registry(Databases.find(settings, seal), seal, settings)
    house = House.open(settings)
    try:
        lake.prepare(house)
    finally:
        house.registry.close()
    return first


def with_ports(settings: Settings) -> Settings:
    """The settings with ports that are free: 0 becomes a free one.

    Raises:
        SettingError: a port is taken; names the setting.
    """
    found = {}
    with ExitStack() as probes:
        for name in ("api_port", "airflow_port"):
            port = getattr(settings, name)
            probe = probes.enter_context(socket.socket())  # held until both are found, or they might be one
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.api_host, port))
            except OSError as error:
                raise SettingError(
                    f"端口 {settings.api_host}:{port} 不能使用（{error.strerror}），请修改 EXCHANGE_{name.upper()}",
                    f"cannot listen on {settings.api_host}:{port} ({error.strerror}); change EXCHANGE_{name.upper()}",
                ) from None
            found[name] = probe.getsockname()[1]
    return settings.model_copy(update=found)


def api_address(settings: Settings) -> str:
    """Where the HTTP door is."""
    return f"http://{settings.api_host}:{settings.api_port}"


def door(settings: Settings) -> Process:
    """The HTTP door. It writes no access log of its own: the evidence is the access log."""
    arguments = ("--host", settings.api_host, "--port", str(settings.api_port), "--no-access-log", "--no-server-header")
    return Process("api", (sys.executable, "-m", "uvicorn", "--factory", "infra.serve:app", *arguments))


@contextmanager
def services(settings: Settings) -> Iterator[Services]:
    """Everything started inside the block, not yet ready; nothing left of it afterwards.

    Raises:
        KeyMissing, Unavailable: the house was never prepared (`exchange migrate`).
    """
    seal = Seal.open(settings.key_folder)
    airflow.prepare(settings, seal)
    kept = Services(settings, airflow.environment(settings, seal))
    house = House.open(settings)
    stop = threading.Event()
    client = airflow.Client(settings, seal)
    logged = _log_to(kept.log_of("up"))
    courier = threading.Thread(target=Courier(house, client).work, args=(stop,), name="courier")
    watcher = threading.Thread(target=watch, args=(house, stop), name="watcher")
    threads = [courier, watcher]
    if messenger.on(house):
        threads.append(threading.Thread(target=messenger.work, args=(house, stop), name="messenger"))
    try:
        if settings.database_url is None:
            kept.start(Process("postgres-holder", (sys.executable, "-m", "infra.holder")))
        for process in (*airflow.processes(), door(settings)):
            kept.start(process)
        for thread in threads:
            thread.start()
        yield kept
    finally:
        stop.set()
        kept.stop()
        for thread in threads:
            if thread.is_alive():
                thread.join()
        with client:
            house.registry.close()
        logging.getLogger("infra").removeHandler(logged)
        logged.close()


def _log_to(path: Path) -> logging.Handler:
    """What the courier and we ourselves have to say goes to a file: the terminal is for what the operator asked."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    ours = logging.getLogger("infra")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    return handler


def wait_until_ready(kept: Services, seal: Seal, watch: Callable[[str], object] = str) -> None:
    """Return when the HTTP door and every part of Airflow say they are well; `watch` hears of each part once.

    Raises:
        Unavailable: not within READY seconds; names the parts and their logs.
    """
    until = time.monotonic() + READY
    well: set[str] = set()
    wanted = {"api", "metadatabase", "scheduler", "dag_processor"}
    with airflow.Client(kept.settings, seal) as client:
        while well != wanted:
            now = {part for part, fine in client.healthy().items() if fine}
            now |= {"api"} if _answers(api_address(kept.settings) + "/health") else set()
            for part in sorted(now - well):
                watch(part)
            well |= now
            if time.monotonic() > until:
                raise Unavailable(
                    f"{'、'.join(sorted(wanted - well))} 未就绪，日志在 {kept.settings.root / 'logs'}",
                    f"not ready: {', '.join(sorted(wanted - well))}; logs are in {kept.settings.root / 'logs'}",
                )
            kept.tend()
            time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def told_to_stop() -> Iterator[None]:
    """SIGTERM, SIGHUP and Ctrl-C end the block by `Stopped`; a second one changes nothing while it ends."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def up(settings: Settings, say: Callable[[str], None] = print) -> int:
    """Run everything until told to stop; the exit code (0).

    Raises:
        SettingError: a port is taken.
        KeyMissing, Unavailable: the house was never prepared (`exchange migrate`), or a part does not start.
    """
    settings = with_ports(settings)
    seal = Seal.open(settings.key_folder)
    with suppress(Stopped), told_to_stop(), postgres.running(settings, seal), services(settings) as kept:
        wait_until_ready(kept, seal, lambda part: say(f"{part} ✓"))
        say(f"接口 API          {api_address(settings)}/docs")
        say(f"调度 Airflow      {airflow.address(settings)}  ({airflow.ADMIN} / {airflow.password(seal)})")
        say(f"日志 logs         {settings.root / 'logs'}")
        say("Ctrl-C 停止 / Ctrl-C stops everything")
        while True:
            kept.tend()
            time.sleep(1)
    return 0
