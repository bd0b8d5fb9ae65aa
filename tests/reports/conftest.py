"""The browser that is installed, for tests of pages; and reports in which every fault of their own shows."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from reports import parts
from tests.conftest import need


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    need("chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_out() -> Iterator[None]:
    """A part of a report that fails, fails the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "CAUGHT", ())
        yield
