"""Explain: who said what, since when, and who said otherwise."""

import pytest

from exchange.catalogue.model import BaseDefinition, BaseField, DataType, FieldSource
from exchange.errors import NotFound
from exchange.house import House
from pools import merge
from pools.explain import FieldExplained, Said, explain
from tests.pools.given import DEPARTMENT_CODES, entered, item, pooled, resource

POLICE = resource("police", (item("id", identifier="resident_number"), item("name")), ("id",), "公安局")
CIVIL = resource(
    "civil", (item("id", identifier="resident_number"), item("name"), item("since", DataType.DATE)), ("id",), "民政局"
)
HEALTH = resource("health", (item("no"), item("person"), item("tel")), ("no",), "卫健委")
PEOPLE = BaseDefinition(
    id="people",
    version=1,
    title="人口",
    key="id",
    key_identifier="resident_number",
    key_sources=tuple(
        FieldSource(resource=r, item=i) for r, i in [("police", "id"), ("civil", "id"), ("health", "person")]
    ),
    fields=tuple(
        BaseField(name=name, title=title, type=kind, sources=tuple(FieldSource(resource=r, item=i) for r, i in of))
        for name, title, kind, of in [
            ("name", "姓名", DataType.TEXT, [("police", "name"), ("civil", "name")]),
            ("since", "登记日期", DataType.DATE, [("civil", "since")]),
            ("tel", "电话", DataType.TEXT, [("health", "tel")]),
        ]
    ),
)


@pytest.fixture
def city(house: House) -> House:
    entered(house, POLICE, CIVIL, HEALTH, PEOPLE)
    return house


def said(
    resource_id: str, item_: str, department: str, value: str, batch: int, since: int, *, differs: bool = False
) -> Said:
    return Said(
        resource=resource_id,
        item=item_,
        department=DEPARTMENT_CODES[department],
        provider=department,
        batch=batch,
        push=f"P261122-{resource_id}-{batch}",
        value=value,
        since_batch=since,
        since_push=f"P261122-{resource_id}-{since}",
        differs=differs,
    )


def test_the_winner_since_when_and_the_loser_who_says_otherwise(city: House) -> None:
    for batch, name in enumerate(["张叁", "张三", "张三", "张三"], 1):
        pooled(city, POLICE, batch, [{"id": "1", "name": name}])
    for batch, name in enumerate(["张珊", "张叁"], 1):
        pooled(city, CIVIL, batch, [{"id": "1", "name": name, "since": "2020-01-01"}])
    built = merge.build(city, "people")
    assert built is not None
    explained = explain(city, "people", "1")
    assert (explained.build, explained.closed) == (built.id, False)
    assert explained.fields == (
        FieldExplained(
            "name",
            "姓名",
            "张三",
            said("police", "name", "公安局", "张三", 4, since=2),
            (said("civil", "name", "民政局", "张叁", 2, since=2, differs=True),),
        ),
        FieldExplained("since", "登记日期", "2020-01-01", said("civil", "since", "民政局", "2020-01-01", 2, since=1), ()),
        FieldExplained("tel", "电话", None, None, ()),
    )


def test_a_value_that_came_back_counts_from_when_it_was_first_said(city: House) -> None:
    for batch, name in enumerate(["张三", "张叁", "张三"], 1):
        pooled(city, POLICE, batch, [{"id": "1", "name": name}])
    merge.build(city, "people")
    (name_,) = explain(city, "people", "1", "name").fields
    assert name_.source == said("police", "name", "公安局", "张三", 3, since=1)


def test_the_key_is_read_however_it_is_typed(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "11010119491231002X", "name": "张三"}])
    merge.build(city, "people")
    assert explain(city, "people", " １１０１０１ 19491231002x ").key == "11010119491231002X"


def test_a_source_that_agrees_is_shown_and_does_not_differ(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "张三"}])
    pooled(city, CIVIL, 1, [{"id": "1", "name": "张三"}])
    merge.build(city, "people")
    (name_,) = explain(city, "people", "1", "name").fields
    assert name_.others == (said("civil", "name", "民政局", "张三", 1, since=1),)


def test_a_closed_record_is_explained_by_the_last_build_that_saw_it(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "张三"}])
    merge.build(city, "people")
    for batch in (2, 3):
        pooled(city, POLICE, batch, [{"id": "2", "name": "李四"}])
        merge.build(city, "people")
    explained = explain(city, "people", "1", "name")
    assert explained.closed
    assert explained.fields[0].source == said("police", "name", "公安局", "张三", 1, since=1)


def test_a_closed_record_is_explained_after_its_base_lost_a_field(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "张三"}])
    pooled(city, CIVIL, 1, [{"id": "1", "name": "张三", "since": "2020-01-01"}])
    merge.build(city, "people")
    pooled(city, POLICE, 2, [{"id": "2", "name": "李四"}])
    pooled(city, CIVIL, 2, [])
    narrower = PEOPLE.model_copy(update={"version": 2, "fields": (PEOPLE.fields[0],)})
    entered(city, narrower)
    merge.build(city, "people")
    explained = explain(city, "people", "1")
    assert explained.closed
    assert [(part.field, part.value) for part in explained.fields] == [("name", "张三")]


def test_a_pool_with_its_own_key_is_asked_by_the_person_in_it(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "张三"}])
    for batch in (1, 2):
        pooled(city, HEALTH, batch, [{"no": "a", "person": "1", "tel": "旧"}, {"no": "b", "person": "1", "tel": "新"}])
    merge.build(city, "people")
    (tel,) = explain(city, "people", "1", "tel").fields
    assert tel.source == said("health", "tel", "卫健委", "新", 2, since=1)


def test_since_when_reaches_back_over_many_pushes_and_a_changed_catalogue(city: House) -> None:
    """The item was added by version 2 of the entry, so its word can't be older than the first push of version 2."""
    for batch in range(1, 3):
        pooled(city, POLICE, batch, [{"id": "1", "name": "张三"}])
    wider = POLICE.model_copy(update={"version": 2, "items": (*POLICE.items, item("alias"))})
    with_alias = PEOPLE.model_copy(
        update={
            "version": 2,
            "fields": (
                *PEOPLE.fields,
                BaseField(
                    name="alias", title="别名", type=DataType.TEXT, sources=(FieldSource(resource="police", item="alias"),)
                ),
            ),
        }
    )
    entered(city, wider, with_alias)
    for batch in range(3, 21):
        pooled(city, wider, batch, [{"id": "1", "name": "张三", "alias": "三儿"}])
    merge.build(city, "people")
    name_, *_, alias = explain(city, "people", "1").fields
    assert name_.source == said("police", "name", "公安局", "张三", 20, since=1)
    assert alias.source == said("police", "alias", "公安局", "三儿", 20, since=3)


def test_what_is_not_there_is_said_without_repeating_the_key(city: House) -> None:
    with pytest.raises(NotFound, match="base people was never built; run `exchange build people` first"):
        explain(city, "people", "1")
    pooled(city, POLICE, 1, [{"id": "1", "name": "张三"}])
    merge.build(city, "people")
    with pytest.raises(NotFound, match="has no such key") as refused:
        explain(city, "people", "11010519491231002X")
    assert "11010519491231002X" not in str(refused.value)
    with pytest.raises(NotFound, match="base people has no field nickname; its fields are name、since、tel"):
        explain(city, "people", "1", "nickname")
