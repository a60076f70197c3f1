"""Numbers that stand for another: history follows the number that counts (变更, 错号); one given twice (重号) is told apart."""

from tests.drawn import drawn
from tests.spec.merge.cities import City


def test_rows_of_an_old_number_are_the_new_ones(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | "))
    city.push("civil", drawn("id | name | mobile | district\n 9 | 张叁 | 13800000009 | 解放区"))
    city.alias("1", "9")
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        9   | 张三 | police    | 13800000009 | civil       | 解放区   | civil         |
        """
    )
    assert city.conflicts() == drawn(
        "key | field | winner | said | loser | but said\n 9 | name | police | 张三 | civil | 张叁"
    )


def test_history_follows_the_new_number(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | 13800000001"))  # push 1
    city.build()
    city.push("police", drawn("id | name | mobile\n 9 | 张三 | 13800000002"))  # push 2
    city.build()
    assert [(row["key"], row["closed"]) for row in city.base()] == [("1", "yes"), ("9", None)]
    city.alias("1", "9")
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        9   | 张三 | police    | 13800000002 | police      |          |               |
        """
    )
    assert city.since() == drawn(
        """
        key | field  | source | said        | since
        9   | mobile | police | 13800000002 | 2
        9   | name   | police | 张三        | 1
        """
    )


def test_a_source_that_has_both_numbers_says_field_by_field_what_it_said_last(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | 13800000001"))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 张三 | | 山阳区\n 9 | 张叁 | 13800000009 | "))
    city.alias("1", "9")
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        9   | 张三 | police    | 13800000009 | civil       | 山阳区   | civil         |
        """
    )
    assert city.conflicts() == drawn(
        """
        key | field  | winner | said        | loser  | but said
        9   | mobile | civil  | 13800000009 | police | 13800000001
        9   | name   | police | 张三        | civil  | 张叁
        """
    )


def test_aliases_lead_on(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | \n 2 | | 13800000002\n 4 | 李四 | "))
    city.alias("2", "3")
    city.alias("1", "2")
    city.build()
    assert [(row["key"], row["name"], row["mobile"]) for row in city.base()] == [
        ("3", "张三", "13800000002"),
        ("4", "李四", None),
    ]


def test_an_alias_alone_makes_the_base_worth_building_again_and_so_does_its_end(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | "))
    city.build()
    city.alias("1", "9")
    city.build()
    assert [(row["key"], row["closed"]) for row in city.base()] == [("9", None)]
    city.end_alias("1")
    city.build()
    assert [(row["key"], row["name"], row["closed"]) for row in city.base()] == [("1", "张三", None), ("9", "张三", "yes")]


def test_a_closed_record_goes_on_under_the_new_number(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | \n 2 | 李四 | "))
    city.build()
    city.push("police", drawn("id | name | mobile\n 2 | 李四 | "))
    city.build()
    city.alias("1", "9")
    city.build()
    assert [(row["key"], row["name"], row["closed"]) for row in city.base()] == [("2", "李四", None), ("9", "张三", "yes")]
    assert city.since() == drawn(
        """
        key | field | source | said | since
        2   | name  | police | 李四 | 1
        9   | name  | police | 张三 | 1
        """
    )


def test_a_number_that_stands_for_a_closed_one_opens_it_again(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | \n 9 | 张三 | 13800000009"))
    city.build()
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | "))
    city.build()
    assert [(row["key"], row["closed"]) for row in city.base()] == [("1", None), ("9", "yes")]
    city.alias("1", "9")
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile | mobile from | district | district from | closed
        9   | 张三 | police    |        |             |          |               |
        """
    )
    city.end_alias("1")
    city.build()
    assert [(row["key"], row["closed"]) for row in city.base()] == [("1", None), ("9", "yes")]


def test_of_two_closed_records_the_one_seen_last_goes_on(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 旧 | \n 2 | 新 | \n 3 | 李四 | "))
    city.build()
    city.push("police", drawn("id | name | mobile\n 2 | 新 | \n 3 | 李四 | "))
    city.build()
    city.push("police", drawn("id | name | mobile\n 3 | 李四 | "))
    city.build()
    city.alias("2", "1")
    city.build()
    assert [(row["key"], row["name"], row["closed"]) for row in city.base()] == [("1", "新", "yes"), ("3", "李四", None)]


def test_a_number_given_twice_means_another_in_some_sources_alone(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | \n 9 | 李四 | "))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 李四 | 13800000009 | 马村区"))
    city.push("health", drawn("person | full_name | phone | updated\n 1 | 张三 | 13800000001 | "))
    city.alias("1", "9", "civil")
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        1   | 张三 | police    | 13800000001 | health      |          |               |
        9   | 李四 | police    | 13800000009 | civil       | 马村区   | civil         |
        """
    )
    assert city.conflicts() == []
    assert [row for row in city.since() if row["source"] == "civil"] == drawn(
        """
        key | field    | source | said        | since
        9   | district | civil  | 马村区      | 2
        9   | mobile   | civil  | 13800000009 | 2
        9   | name     | civil  | 李四        | 2
        """
    )
