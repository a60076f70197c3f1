"""一数一源: one field, one word that counts."""

from tests.drawn import drawn
from tests.spec.merge.cities import City


def test_the_authority_wins_and_the_loser_stays_visible(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 |"))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 张叁 | 13800000001 | 解放区"))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        1   | 张三 | police    | 13800000001 | civil       | 解放区   | civil         |
        """
    )
    assert city.conflicts() == drawn(
        """
        key | field | winner | said | loser | but said
        1   | name  | police | 张三 | civil | 张叁
        """
    )


def test_a_stand_in_speaks_where_the_authority_has_no_value(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | | \n 2 | 李四 | "))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 张三 | | "))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile | mobile from | district | district from | closed
        1   | 张三 | civil     |        |             |          |               |
        2   | 李四 | police    |        |             |          |               |
        """
    )
    assert city.conflicts() == []


def test_a_key_only_a_stand_in_knows_is_in_the_base(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 |"))
    city.push("health", drawn("person | full_name | phone | updated\n 9 | 王五 | 13800000009 | "))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        1   | 张三 | police    |             |             |          |               |
        9   | 王五 | health    | 13800000009 | health      |          |               |
        """
    )


def test_authority_is_per_field_not_per_department(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | 13800000001"))
    city.push("health", drawn("person | full_name | phone | updated\n 1 | 张叁 | 13800000002 | "))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        1   | 张三 | police    | 13800000002 | health      |          |               |
        """
    )
    assert city.conflicts() == drawn(
        """
        key | field  | winner | said        | loser  | but said
        1   | mobile | health | 13800000002 | police | 13800000001
        1   | name   | police | 张三        | health | 张叁
        """
    )


def test_a_row_without_a_key_is_nobody(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | "))
    city.push("health", drawn("person | full_name | phone | updated\n | 无名 | 13800000000 | "))
    city.build()
    assert [row["key"] for row in city.base()] == ["1"]


def test_a_pool_that_is_empty_says_nothing(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | "))
    city.push("civil", [])
    city.build()
    assert [(row["key"], row["name from"]) for row in city.base()] == [("1", "police")]
