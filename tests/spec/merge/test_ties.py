"""Several rows of one key in one source: the newest that has a value."""

from tests.drawn import drawn
from tests.spec.merge.cities import City


def names(city: City) -> list[str | None]:
    return [row["name"] for row in city.base()]


def test_the_newest_by_its_own_update_time_wins(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | | "))
    city.push(
        "health",
        drawn(
            """
            person | full_name | phone | updated
            1      | 旧        |       | 2026-01-01
            1      | 新        |       | 2026-03-01
            1      | 中        |       | 2026-02-01
            """
        ),
    )
    city.build()
    assert names(city) == ["新"]
    assert city.conflicts() == []  # a source does not disagree with itself


def test_a_row_without_an_update_time_comes_last(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | | "))
    city.push(
        "health",
        drawn(
            """
            person | full_name | phone | updated
            1      | 有时间    |       | 1990-01-01
            1      | 无时间    |       |
            """
        ),
    )
    city.build()
    assert names(city) == ["有时间"]


def test_of_equal_times_the_later_row_wins(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | | "))
    city.push(
        "health",
        drawn(
            """
            person | full_name | phone | updated
            1      | 先        |       | 2026-01-01
            1      | 后        |       | 2026-01-01
            """
        ),
    )
    city.build()
    assert names(city) == ["后"]


def test_each_field_comes_from_the_newest_row_that_has_it(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | | "))
    city.push(
        "health",
        drawn(
            """
            person | full_name | phone       | updated
            1      | 张三      | 13800000001 | 2026-01-01
            1      |           | 13800000002 | 2026-03-01
            1      | 张叁      |             | 2026-02-01
            """
        ),
    )
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        1   | 张叁 | health    | 13800000002 | health      |          |               |
        """
    )


def test_what_was_said_anew_wins_over_what_is_only_repeated(city: City) -> None:
    """A repeated row stays as it was, so the order it is repeated in decides nothing."""
    city.push("police", drawn("id | name | mobile\n 1 | | "))
    city.push("health", drawn("person | full_name\n 1 | 甲\n 1 | 乙"))
    city.push("health", drawn("person | full_name\n 1 | 乙\n 1 | 甲"))
    city.build()
    assert names(city) == ["乙"]
    city.push("health", drawn("person | full_name\n 1 | 丙\n 1 | 乙\n 1 | 甲"))
    city.build()
    assert names(city) == ["丙"]
