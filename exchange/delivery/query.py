"""查询: look up records by key."""

from exchange.delivery.mode import Found, Reader, Request


class Query:
    """Up to a hundred keys of one version."""

    name = "query"

    def read(self, reader: Reader, request: Request) -> Found:
        """The records of the keys, as served now or as an earlier version had them."""
        if request.as_of is not None:
            return reader.earlier(request.target, request.keys, request.as_of, request.satellites)
        return reader.lookup(request.target, request.keys, request.satellites)
