"""Sources that disagree: every loser with another value is one conflict; silence is not disagreement."""

from tests.drawn import drawn
from tests.spec.merge.cities import City


def test_every_loser_with_another_value_is_a_conflict_of_its_own(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 甲 | "))
    city.push("health", drawn("person | full_name | phone | updated\n 1 | 乙 | | "))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 丙 | | "))
    city.build()
    assert city.conflicts() == drawn(
        """
        key | field | winner | said | loser  | but said
        1   | name  | police | 甲   | health | 乙
        1   | name  | police | 甲   | civil  | 丙
        """
    )


def test_losers_are_compared_with_the_winner_not_with_each_other(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | | "))
    city.push("health", drawn("person | full_name | phone | updated\n 1 | 乙 | | "))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 丙 | | "))
    city.build()
    assert city.conflicts() == drawn("key | field | winner | said | loser | but said\n 1 | name | health | 乙 | civil | 丙")


def test_agreement_and_silence_are_no_conflict(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 甲 | \n 2 | 丁 | "))
    city.push("health", drawn("person | full_name | phone | updated\n 1 | 甲 | | \n 2 | | | "))
    city.build()
    assert city.conflicts() == []


def test_a_conflict_that_was_settled_is_gone_with_the_next_build(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 甲 | "))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 乙 | | "))
    city.build()
    assert len(city.conflicts()) == 1
    city.push("civil", drawn("id | name | mobile | district\n 1 | 甲 | | "))
    city.build()
    assert city.conflicts() == []
