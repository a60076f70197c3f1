"""The gate's rules for `write_people`, as somebody would write them with Great Expectations on pandas.

What pandas has no expectation for (birth date, check digit, region) is a column of its own, computed by numpy for all
rows at once.
"""

import time
import warnings
from pathlib import Path
from typing import Any

from exchange.catalogue import codes
from quality import identifiers, regions
from quality.rules import _PERSONAL
from tests.bench.clock import timed

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"


def judge(file: Path) -> dict[str, Any]:
    """Read the CSV, judge it, with figures: seconds from the file to the result (`read_seconds` of them for reading)."""
    import great_expectations as gx
    import pandas

    started = time.perf_counter()
    frame = pandas.read_csv(file, dtype=str, keep_default_na=False, na_values=[""])
    read = time.perf_counter()
    with timed() as took, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _add_columns(frame)
        context = gx.get_context(mode="ephemeral")
        batch = (
            context.data_sources.add_pandas("bench")
            .add_dataframe_asset("people")
            .add_batch_definition_whole_dataframe("all")
        )
        suite = context.suites.add(gx.ExpectationSuite("people", expectations=_expectations(gx.expectations)))
        definition = gx.ValidationDefinition(name="people", data=batch, suite=suite)
        result = context.validation_definitions.add(definition).run(batch_parameters={"dataframe": frame})
    return took | {
        "read_seconds": round(read - started, 2),
        "rules": len(result.results),
        "failed": max(one.result.get("unexpected_count", 0) for one in result.results),
    }


def _add_columns(frame: Any) -> None:
    import numpy
    import pandas

    numbers = frame["公民身份号码"]
    formed = numbers.str.fullmatch(identifiers.RESIDENT_FORM).fillna(False)
    digits = numpy.frombuffer("".join(numbers.where(formed, "0" * 18)).encode(), dtype=numpy.uint8).reshape(-1, 18)
    total = ((digits[:, :17] - 48).astype(numpy.int32) * numpy.array(_WEIGHTS)).sum(axis=1) % 11
    right = numpy.frombuffer(_CHECK.encode(), dtype=numpy.uint8)[total] == digits[:, 17]
    born = pandas.to_datetime(numbers.str[6:14], format="%Y%m%d", errors="coerce")
    frame["_number_ok"] = formed & right & born.notna()
    frame["_region"] = numbers.str[:6]
    years = frame["_region"].map(regions.first_years())
    frame["_founded"] = years.isna() | (years <= numpy.maximum(born.dt.year, 1984)) | born.isna()
    frame["_birth"] = pandas.to_datetime(frame["出生日期"], format="%Y-%m-%d", errors="coerce")
    frame["_updated"] = pandas.to_datetime(frame["更新时间"], format="%Y-%m-%d %H:%M:%S", errors="coerce")


def _expectations(gxe: Any) -> list[Any]:
    texts = {"姓名": 50, "户籍地": 6, "户籍地址": 200, "联系电话": 11}
    return [
        *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in ("公民身份号码", "姓名", "_birth", "_updated")),
        *(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=[True]) for name in ("_number_ok", "_founded")),
        gxe.ExpectColumnValuesToBeInSet(column="_region", value_set=list(regions.first_years())),
        gxe.ExpectColumnValuesToBeUnique(column="公民身份号码"),
        *(gxe.ExpectColumnValueLengthsToBeBetween(column=name, max_value=most) for name, most in texts.items()),
        *(gxe.ExpectColumnValuesToNotMatchRegex(column=name, regex="\ufffd") for name in texts),
        gxe.ExpectColumnValuesToNotMatchRegex(column="姓名", regex="[ \u3000\u00a0\ue000-\uf8ff]"),
        gxe.ExpectColumnValuesToNotMatchRegex(column="户籍地", regex=_PERSONAL),
        gxe.ExpectColumnValuesToBeInSet(column="性别", value_set=list(codes.table("sex"))),
        gxe.ExpectColumnValuesToBeInSet(column="民族", value_set=list(codes.table("ethnicity"))),
    ]
