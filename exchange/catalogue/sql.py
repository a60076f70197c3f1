"""How an item is typed in the engine: one mapping for staging, pools, bases and answers."""

from exchange.catalogue.model import DataType, Item

_PLAIN = {
    DataType.TEXT: "VARCHAR",
    DataType.MEMO: "VARCHAR",
    DataType.MONEY: "DECIMAL(18,2)",
    DataType.DATE: "DATE",
    DataType.TIMESTAMP: "TIMESTAMP",
    DataType.BOOLEAN: "BOOLEAN",
    DataType.INTEGER: "BIGINT",
    DataType.DOUBLE: "DOUBLE",
    DataType.FLOAT: "DOUBLE",
}


def sql_type(item: Item) -> str:
    """DuckDB's type of an item; N without a length is DECIMAL(38,6)."""
    if item.type is DataType.NUMBER:
        return f"DECIMAL({item.length or 38},{item.scale if item.scale is not None else (0 if item.length else 6)})"
    return _PLAIN[item.type]


def quoted(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal, for the few statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
