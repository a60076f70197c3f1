"""A disk that is full at every step of the way: said in words, nothing half done, and done when there is room again.

The house lies on a file system of its own, which is filled up to a few kilobytes before each step is taken.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.errors import NoRoom, Unavailable
from exchange.house import House
from exchange.settings import Settings
from tests.faults.kit import STEPS, City, seen, small_city

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = 96 << 20
LEFT = (0, 8 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20)  # bytes left free, until a step has what it needs
CHANGES = {
    "land": ("pushes", "events"),
    "check": ("pushes", "events"),
    "pool": ("pool", "commits", "pushes", "counted", "events"),
    "serve the pool": ("served", "events"),
    "merge": ("base", "commits", "counted", "events"),
    "serve the base": ("served", "events"),
    "withdraw": ("pool", "commits", "pushes", "counted", "events"),
}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """The usual settings, on a small file system."""
    if os.geteuid() != 0:
        pytest.skip("*** a full disk is NOT tested: mounting a small file system needs root ***")
    disk = tmp_path / "var"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], check=True)
    yield settings.model_copy(update={"spare_disk": 1})
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(house: House, left: int) -> Path:
    """Leave this many bytes."""
    ballast = house.settings.root / "ballast"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(house.settings.root)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))
    return ballast


def taken(city: City, name: str) -> int:
    """Take a step with ever more room; how often the disk was too full for it."""
    before = seen(city.house)
    for refused, left in enumerate(LEFT):
        ballast = fill(city.house, left)
        said = answer(city, name)
        ballast.unlink()
        if said is None:
            return refused
        assert "磁盘" in said, said
        assert seen(city.house) == before, name
    STEPS[name](city)
    return len(LEFT)


def answer(city: City, name: str) -> str | None:
    """What a step that was not done says; None: it was done."""
    try:
        STEPS[name](city)
    except (NoRoom, Unavailable) as error:
        return str(error)
    return None


def test_at_every_step(house: House) -> None:
    city = small_city(house)
    refused = {}
    city.batch = 3
    for name in STEPS:
        before = seen(house)
        refused[name] = taken(city, name)
        after = seen(house)
        assert {key for key in after if after[key] != before[key]} <= set(CHANGES[name]), name
        assert after != before
        STEPS[name](city)  # and once more, which changes nothing
        assert seen(house) == after, name
    assert all(refused.values()), f"these were never short of room: {refused}"
    left = [path.name for path in house.settings.root.rglob("*") if ".part" in path.name or path.name.startswith(".")]
    assert left == []
