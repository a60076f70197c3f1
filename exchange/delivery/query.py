"""查询: look up records by key."""

from exchange.delivery.mode import Found, Reader, Request


class Query:
    """Up to a hundred keys of one version."""

    name = "query"

    def read(self, reader: Reader, request: Request) -> Found:
        """The records of the keys, as served now."""
        return reader.lookup(request.target, request.keys)
