"""What happens to a key over time: corrected, closed, reopened; never dropped."""

from tests.drawn import drawn
from tests.spec.merge.cities import City


def test_a_full_push_replaces_what_the_source_said_before(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | 13800000001"))
    city.build()
    city.push("police", drawn("id | name | mobile\n 1 | 张四 | "))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile | mobile from | district | district from | closed
        1   | 张四 | police    |        |             |          |               |
        """
    )


def test_a_key_gone_from_every_source_is_closed_with_its_last_values(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | 13800000001\n 2 | 李四 | "))
    city.build()
    city.push("police", drawn("id | name | mobile\n 2 | 李四 | "))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile      | mobile from | district | district from | closed
        1   | 张三 | police    | 13800000001 | police      |          |               | yes
        2   | 李四 | police    |             |             |          |               |
        """
    )


def test_a_key_that_one_source_still_has_stays_open(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | "))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 张叁 | | 山阳区"))
    city.build()
    city.push("police", drawn("id | name | mobile\n 2 | 李四 | "))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile | mobile from | district | district from | closed
        1   | 张叁 | civil     |        |             | 山阳区   | civil         |
        2   | 李四 | police    |        |             |          |               |
        """
    )


def test_a_closed_key_stays_closed_through_later_builds(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | \n 2 | 李四 | "))
    city.build()
    for name in ("李五", "李六"):
        city.push("police", [{"id": "2", "name": name, "mobile": None}])
        city.build()
    assert [(row["key"], row["name"], row["closed"]) for row in city.base()] == [("1", "张三", "yes"), ("2", "李六", None)]


def test_a_closed_key_that_comes_back_is_open_again_with_its_new_values(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | 13800000001\n 2 | 李四 | "))
    city.build()
    city.push("police", drawn("id | name | mobile\n 2 | 李四 | "))
    city.build()
    city.push("police", drawn("id | name | mobile\n 1 | 张叁 | \n 2 | 李四 | "))
    city.build()
    assert city.base() == drawn(
        """
        key | name | name from | mobile | mobile from | district | district from | closed
        1   | 张叁 | police    |        |             |          |               |
        2   | 李四 | police    |        |             |          |               |
        """
    )


def test_a_closed_key_has_no_conflicts(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 甲 | \n 2 | 丁 | "))
    city.push("civil", drawn("id | name | mobile | district\n 1 | 乙 | | "))
    city.build()
    city.push("police", drawn("id | name | mobile\n 2 | 丁 | "))
    city.push("civil", [])
    city.build()
    assert city.conflicts() == []
    assert [(row["key"], row["closed"]) for row in city.base()] == [("1", "yes"), ("2", None)]


def test_since_when_is_the_first_push_that_said_so_also_when_it_said_otherwise_between(city: City) -> None:
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | \n 2 | 李四 | 13800000002"))  # push 1
    city.push("civil", drawn("id | name | mobile | district\n 1 | 张叁 | | "))  # push 2
    city.push("police", drawn("id | name | mobile\n 1 | 张参 | \n 2 | 李四 | 13800000003"))  # push 3
    city.push("police", drawn("id | name | mobile\n 1 | 张三 | \n 2 | 李四 | 13800000003"))  # push 4
    city.build()
    assert city.since() == drawn(
        """
        key | field  | source | said        | since
        1   | name   | civil  | 张叁        | 2
        1   | name   | police | 张三        | 1
        2   | mobile | police | 13800000003 | 3
        2   | name   | police | 李四        | 1
        """
    )
