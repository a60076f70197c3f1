"""Where the three databases are: control, lake catalogue, Airflow metadata. Each its own database and role.

Invariant: addresses are computed from settings and the master key, never stored. The embedded server's port is
the only thing kept on disk (`<data>/postgres.port`), because it is chosen once.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from exchange.errors import SettingError, Unavailable
from exchange.seal import Seal
from exchange.settings import Settings

NAMES = ("exchange", "exchange_lake", "exchange_airflow")
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """One database: what every client needs, in each client's own spelling. `options` are libpq's (sslmode=require …)."""

    host: str
    port: int
    database: str
    user: str
    password: str
    options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Address({self.user}@{self.host}:{self.port}/{self.database})"

    def url(self, driver: str = "postgresql") -> str:
        """For SQLAlchemy (`postgresql+psycopg`) and Airflow."""
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"{driver}://{who}@{self.host}:{self.port}/{quote(self.database, safe='')}{query}"

    def keywords(self) -> str:
        """For libpq and DuckDB's postgres scanner."""
        parts = {"host": self.host, "port": str(self.port), "dbname": self.database, "user": self.user}
        parts |= {"password": self.password, **dict(self.options)}
        return " ".join(f"{name}={_keyword(value)}" for name, value in parts.items())

    @classmethod
    def parse(cls, url: str, setting: str) -> "Address":
        """Read a postgresql:// URL; its query part is kept (`?sslmode=require`).

        Raises:
            SettingError: not a URL with host, user and database.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
            host, user, database = parts.hostname, parts.username, unquote(parts.path.strip("/"))
        except ValueError:
            host = user = database = None
        if not (host and user and database and parts.scheme.startswith("postgres")):
            raise SettingError(
                f"{setting} 应形如 postgresql://用户:口令@主机:5432/库名（口令中的特殊字符用 %40 这样的写法）",
                f"{setting} must look like postgresql://user:password@host:5432/database (escape special characters: %40)",
            )
        return cls(host, port, database, unquote(user), unquote(parts.password or ""), tuple(parse_qsl(parts.query)))


def _keyword(value: str) -> str:
    """A libpq value: bare where it can be, else quoted."""
    if value and not set(value) & set(" '\\"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True)
class Databases:
    """The three addresses, and the administrator of the embedded server (None on your own server)."""

    control: Address
    lake: Address
    airflow: Address
    admin: Address | None

    @classmethod
    def find(cls, settings: Settings, seal: Seal) -> "Databases":
        """Compute all addresses.

        Raises:
            Unavailable: the embedded server was never started here.
            SettingError: a URL is malformed.
        """
        if settings.database_url is None:
            port = embedded_port(settings)
            control, lake, airflow = (Address(HOST, port, name, name, seal.password(name)) for name in NAMES)
            return cls(control, lake, airflow, Address(HOST, port, "postgres", "postgres", seal.password("postgres")))
        control = Address.parse(settings.database_url.get_secret_value(), "EXCHANGE_DATABASE_URL")
        beside = {
            name: Address(control.host, control.port, name, name, seal.password(name), control.options)
            for name in NAMES[1:]
        }
        lake = beside["exchange_lake"]
        if settings.lake_url is not None:
            lake = Address.parse(settings.lake_url.get_secret_value(), "EXCHANGE_LAKE_URL")
        airflow = beside["exchange_airflow"]
        if settings.airflow_url is not None:
            airflow = Address.parse(settings.airflow_url.get_secret_value(), "EXCHANGE_AIRFLOW_URL")
        return cls(control, lake, airflow, None)


def embedded_port(settings: Settings) -> int:
    """The port the embedded server chose.

    Raises:
        Unavailable: it was never started here.
    """
    path = settings.root / "postgres.port"
    try:
        return int(path.read_text())
    except FileNotFoundError:
        raise Unavailable(
            f"{settings.root} 里还没有数据库，请先运行 exchange migrate",
            f"there is no database in {settings.root} yet; run `exchange migrate` first",
        ) from None
