"""Great Expectations judges: one suite per push, compiled from the rules, over the bits of the one pass.

Its batch are the noted rows, for no other row can fail a rule (quality/check.py); whether all rows are there is asked of all.
Invariant: an expectation here fetches a count and row numbers, never a cell, so neither results nor Data Docs can hold a
value.
The only import of `great_expectations`. It takes about eight seconds, so it happens inside functions, where a push is
judged and nowhere else. Usage reporting is off, and the page that is kept leads nowhere else (`quality/pages.py`).
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Level
from exchange.errors import NotFound, Unavailable
from exchange.house import House
from exchange.progress import Progress, silent
from quality import check, pages, staging
from quality.rules import Rule, fails
from quality.subject import Subject

FIRST = 20  # row numbers a verdict keeps per rule

_NOTED, _ALL = "noted", "judged"  # views
_URL = "duckdb+gate:///house"
_SEVERITY = {Level.BLOCK: "critical", Level.QUARANTINE: "critical", Level.WARN: "warning"}


@dataclass(frozen=True)
class Failure:
    """How a rule failed: rows in all, and the numbers of the first of them (FIRST at most)."""

    count: int
    rows: tuple[int, ...]


Failures = dict[str, Failure]  # by rule


def results_folder(house: House, push_id: str) -> Path:
    """The folder of a push's results: `result.json`, and Data Docs in `docs/`."""
    return house.settings.folder("gx") / push_id


def data_docs(house: House, push_id: str) -> Path:
    """The page of a push's results: its Data Docs.

    Raises:
        NotFound: the push was not judged, or its results were removed.
    """
    for page in (results_folder(house, push_id) / "docs" / "validations").rglob("*.html"):
        return page
    raise NotFound(
        f"没有推送 {push_id} 的 Data Docs：尚未检查，或已清除",
        f"there are no Data Docs of push {push_id}: not judged yet, or removed",
    )


def validate(
    house: House, connection: DuckDBPyConnection, subject: Subject, rows: int, progress: Progress = silent
) -> Failures:
    """Judge the judged rows of a push. Returns the failing rows of each rule, as Great Expectations found them.

    Writes `<data>/gx/<push>/`, at once or not at all.

    Raises:
        Unavailable: an expectation could not be evaluated, or not all rows are there; the push stays unjudged.
    """
    push_id = subject.receipt.id
    progress("expectations", 0, len(subject.rules))
    connection.execute(f"CREATE OR REPLACE VIEW {_NOTED} AS SELECT * FROM {check.noted_sql(house, push_id)}")
    connection.execute(f"CREATE OR REPLACE VIEW {_ALL} AS SELECT * FROM {staging.judged_sql(house, subject)}")
    target = results_folder(house, push_id)
    with _draft(target) as draft:
        result = _run(connection, draft / "docs", subject, rows)
        (draft / "result.json").write_text(json.dumps(result, ensure_ascii=False, indent=1))
        _keep_at_home(draft / "docs")
        failures = _failures(subject.rules, result)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    progress("expectations", len(subject.rules), len(subject.rules))
    return failures


def preload() -> None:
    """Import Great Expectations now, so that processes forked from this one have it."""
    _library()


@cache
def _library() -> SimpleNamespace:
    """Great Expectations, with the two things it lacks here: a count-only expectation and a dialect that can read DuckDB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports are deprecated in places
        import great_expectations as gx
        from duckdb_engine import ConnectionWrapper, Dialect
        from great_expectations import expectations
        from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
        from great_expectations.expectations.expectation import renderer
        from great_expectations.render.components import LegacyDiagnosticRendererType
    from sqlalchemy.dialects import registry

    class ReadOnlyDialect(Dialect):  # type: ignore[misc]
        """The gate only reads. A rollback on close would drop a result before it is fetched."""

        supports_statement_cache = False

        def do_begin(self, dbapi_connection: Any) -> None: ...

        def do_commit(self, dbapi_connection: Any) -> None: ...

        def do_rollback(self, dbapi_connection: Any) -> None: ...

    class RowsKeepRule(expectations.UnexpectedRowsExpectation):  # type: ignore[misc]
        """No row fails the rule. Its query selects row numbers alone; the result keeps the first of them."""

        def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
            failed = metrics["unexpected_rows_query.row_count"]
            rows = [int(found["_row"]) for found in metrics["unexpected_rows_query.table"][:FIRST]]
            return {"success": failed == 0, "result": {"observed_value": failed, "details": {"rows": rows}}}

        @classmethod
        @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)  # type: ignore[untyped-decorator]
        def _diagnostic_observed_value_renderer(cls, result: Any = None, **_: Any) -> str:
            """What Data Docs show of a result."""
            found = {} if result is None else result.result
            rows = found.get("details", {}).get("rows", ())
            named = "、".join(map(str, rows)) + (" …" if found.get("observed_value", 0) > len(rows) else "")
            return f"{found.get('observed_value')}" + (f"（行 / rows {named}）" if rows else "")

    class AllAreThere(expectations.UnexpectedRowsExpectation):  # type: ignore[misc]
        """There are as many rows as were judged, and no more noted ones. Its query counts both."""

        rows: int

        def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
            ((found, noted),) = (counted.values() for counted in metrics["unexpected_rows_query.table"])
            return {"success": noted <= found == self.rows, "result": {"observed_value": found}}

    registry.impls["duckdb.gate"] = lambda: ReadOnlyDialect
    return SimpleNamespace(
        gx=gx,
        config=DataContextConfig,
        memory=InMemoryStoreBackendDefaults,
        rows_keep_rule=RowsKeepRule,
        all_are_there=AllAreThere,
        wrap=ConnectionWrapper,
    )


def _run(connection: DuckDBPyConnection, docs: Path, subject: Subject, rows: int) -> dict[str, Any]:
    library = _library()
    gx = library.gx
    context = gx.get_context(project_config=_config(library, docs), mode="ephemeral")
    source = context.data_sources.add_sql(
        subject.resource.id,
        connection_string=_URL,
        create_temp_table=False,
        kwargs={"creator": lambda: library.wrap(connection.cursor())},
    )
    batch = source.add_table_asset(subject.receipt.id, table_name=_NOTED).add_batch_definition_whole_table("all")
    suite = context.suites.add(
        gx.ExpectationSuite(
            f"{subject.resource.id}@{subject.resource.version}",
            expectations=[
                *(_expectation(library, index, rule) for index, rule in enumerate(subject.rules)),
                _all_are_there(library, rows),
            ],
        )
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=subject.receipt.id, data=batch, suite=suite)
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=subject.receipt.id,
            validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="pages", site_names=["push"])],
            result_format="BASIC",
        )
    )
    (result,) = checkpoint.run().run_results.values()
    plain: dict[str, Any] = result.to_json_dict()
    return plain


def _config(library: SimpleNamespace, docs: Path) -> Any:
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    return library.config(
        store_backend_defaults=library.memory(init_temp_docs_sites=False),
        data_docs_sites={"push": site},
        analytics_enabled=False,
        progress_bars={"globally": False},
    )


def _expectation(library: SimpleNamespace, index: int, rule: Rule) -> Any:
    return library.rows_keep_rule(
        unexpected_rows_query=f"SELECT _row FROM {{batch}} WHERE {fails(index)} ORDER BY _row",
        description=f"{rule.title} / {rule.title_en}（{rule.id}@{rule.version}，{rule.level}，GB/T 36344 {rule.indicator}）",
        severity=_SEVERITY[rule.level],
        meta={"rule": rule.id, "version": rule.version, "level": rule.level.value, "indicator": rule.indicator},
    )


def _all_are_there(library: SimpleNamespace, rows: int) -> Any:
    return library.all_are_there(
        unexpected_rows_query=f"SELECT (SELECT count(*) FROM {_ALL}) AS found, count(*) AS noted FROM {{batch}}",
        description="行数与回执一致 / as many rows as the pass judged",
        rows=rows,
    )


def _failures(rules: tuple[Rule, ...], result: dict[str, Any]) -> Failures:
    outcomes = result["results"]
    found = {one["expectation_config"]["meta"]["rule"]: one["result"] for one in outcomes[:-1]}
    broken = [rule.id for rule in rules if not isinstance(found.get(rule.id, {}).get("observed_value"), int)]
    if broken or not outcomes[-1]["success"]:
        what = "、".join(broken) or "行数"
        raise Unavailable(
            f"Great Expectations 未能评估 {what}；推送保持未检查，请重试，仍不行请联系运维",
            f"Great Expectations could not evaluate {', '.join(broken) or 'the row count'}; the push stays unjudged: "
            "try again, then ask an operator",
        )
    return {rule.id: Failure(found[rule.id]["observed_value"], tuple(found[rule.id]["details"]["rows"])) for rule in rules}


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A folder beside the target that is gone at the end, whatever happens."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _keep_at_home(docs: Path) -> None:
    """Leave the page of the results, by itself: the site's index needs scripts from elsewhere, the suite's page says less,
    and the pictures are 4 MB."""
    for page in (docs / "validations").rglob("*.html"):
        page.write_text(pages.alone(page.read_text()))
    for other in docs.iterdir():
        if other.is_dir() and other.name != "validations":
            shutil.rmtree(other)
        elif other.is_file():
            other.unlink()
