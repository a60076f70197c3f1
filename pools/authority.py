"""The authority of a day: 一数一源 is dated data, and a build goes by the orders of the day on which it is made.

Invariant: a build names its day beside its version of the definition; whoever reads a build asks here for the definition that
it was made by, so a place among the sources of a field means for ever what it meant when it was written.
"""

from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from exchange import catalogue
from exchange.catalogue.model import BaseDefinition
from exchange.house import House
from exchange.intake.pushes import CHINA
from exchange.registry.models import BaseBuild


def today(session: Session) -> date:
    """The day in China, by the clock of the control database."""
    now: datetime = session.execute(select(func.now())).scalar_one()
    return now.astimezone(CHINA).date()


def definition_of(house: House, built: BaseBuild) -> BaseDefinition:
    """The definition that a build was made by, in the orders of its day."""
    return catalogue.base_at(house, built.base_id, built.base_version).on(built.authority_on)


def turned(definition: BaseDefinition, since: date, until: date) -> bool:
    """Whether another order has come into force between two days."""
    return definition.on(since) != definition.on(until)
