"""The `exchange` command: everything an operator does, in the order of the way of the data.

Invariant: commands hold no decision; each opens the house, calls one function of the packages and shows its answer.
"""

import typer

from api.commands import (
    base,
    catalogue,
    client,
    grant,
    house,
    inbox,
    key,
    log,
    notice,
    push,
    quality,
    quarantine,
    query,
    rules,
    theme,
)
from api.usage import Explained

app = typer.Typer(
    name="exchange",
    cls=Explained,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="政务数据共享交换平台 / an open exchange for government data",
)
house.register(app)
app.add_typer(catalogue.app, name="catalogue")
push.register(app)
app.add_typer(inbox.app, name="inbox")
app.add_typer(rules.app, name="rules")
app.add_typer(quarantine.app, name="quarantine")
base.register(app)
app.add_typer(theme.app, name="theme")
app.add_typer(key.app, name="key")
app.add_typer(client.app, name="client")
app.add_typer(grant.app, name="grant")
query.register(app)
app.add_typer(quality.app, name="quality")
app.add_typer(log.app, name="log")
app.add_typer(notice.app, name="notice")


def main() -> None:
    """Entry point of the console script."""
    app()
