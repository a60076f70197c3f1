"""What the gate judges and by which rules: a receipt, the resource version it names, the rules of that version.

Invariant: everything here follows from the receipt alone, so a push is judged the same today and next year.
"""

from dataclasses import dataclass
from typing import Self

from exchange import catalogue
from exchange.catalogue.model import Resource
from exchange.house import House
from exchange.intake import pushes
from exchange.intake.form import form_of
from exchange.intake.pushes import CHINA, Receipt
from quality.rules import Rule, compile_rules


@dataclass(frozen=True)
class Subject:
    """One push before the gate. `resource`: as a parcel of its mode has it."""

    receipt: Receipt
    resource: Resource
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, house: House, receipt: Receipt | str) -> Self:
        """Of a receipt or a push id.

        Raises:
            NotFound: no such push.
        """
        if isinstance(receipt, str):
            receipt = pushes.get(house, receipt)
        return cls.by(receipt, catalogue.resource_at(house, receipt.resource_id, receipt.resource_version))

    @classmethod
    def by(cls, receipt: Receipt, resource: Resource) -> Self:
        """A receipt before the rules of a version that it need not name."""
        form = form_of(resource, receipt.mode)
        came = receipt.received_at.astimezone(CHINA)
        return cls(receipt, form, compile_rules(form, came.date(), came))
