"""The page in a browser: it opens from disk, sorts, filters and opens, and everybody can read it.

Skipped where no Chromium is found; on Debian, `apt-get install chromium` brings it.
"""

from __future__ import annotations

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Tab:
    """A tab with the page, and what went wrong in it."""

    def __init__(self, browser, file, width=1440, scheme="light", script=True):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=script,
        )
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda problem: self.errors.append(str(problem)))
        self.page.on(
            "dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss())
        )
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def names(self):
        """The rows of the board that are shown, from top to bottom."""
        return self.page.eval_on_selector_all(
            "#rows tbody tr", "rows => rows.filter(r => !r.hidden).map(r => r.dataset.name)"
        )

    def reset(self, everything):
        self.page.click("button[type=reset]")
        rows = len(everything)
        expect(self.page.locator("#f-count")).to_have_text(f"{rows} of {rows} rows")

    def scores(self):
        return self.page.eval_on_selector_all(
            "#rows tbody tr", "rows => rows.map(r => parseFloat(r.dataset.score))"
        )


@pytest.fixture(scope="module")
def tab(browser, reported):
    tab = Tab(browser, reported[1])
    yield tab
    tab.context.close()


def test_it_opens_from_disk_without_an_error_and_asks_for_nothing_else(tab, reported):
    assert tab.errors == []
    assert tab.requests == [reported[1].as_uri()]
    assert tab.page.title() == "kinds v3: collapse-bench"


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_it_round(tab):
    heading = tab.page.locator("#rows th.c-score button")
    heading.click()
    scores = tab.scores()
    assert scores == sorted(scores, reverse=True)
    assert heading.locator("..").get_attribute("aria-sort") == "descending"
    heading.press("Enter")  # without a mouse
    assert tab.scores() == sorted(scores)
    tab.page.locator("#rows th.name button").click()
    names = tab.names()
    assert names == sorted(names, key=str.casefold)


def test_filters_and_search_leave_the_rows_that_were_asked_for(tab):
    everything = tab.names()
    tab.page.select_option("#f-track", "real")
    some = tab.names()
    assert set(some) == {"real-anchor", "replay", 'odd(word="<img src=x onerror=alert(2)>")'}
    assert tab.page.inner_text("#f-count") == f"{len(some)} of {len(everything)} rows"
    tab.page.fill("#f-text", "anchor")
    assert tab.names() == ["real-anchor"]
    tab.reset(everything)
    tab.page.select_option("#f-kind", "control")
    assert {"none", "nature", "frozen", "trivial", "real-now"} == set(tab.names())
    tab.reset(everything)
    tab.page.select_option("#f-stages", "curate")
    assert "real-anchor" in tab.names()
    assert "none" not in tab.names()
    tab.reset(everything)


def test_configurations_of_a_tuned_row_are_shown_on_request(browser, reported_tuned):
    tab = Tab(browser, reported_tuned[1])
    names = tab.names()
    assert "anchor (tuned)" in names
    assert "anchor(beta=1)" not in names
    tab.page.select_option("#f-kind", "configuration")
    assert tab.names() == ["anchor(beta=1)"]
    tab.page.select_option("#f-kind", "")
    assert {"anchor", "anchor (best in hindsight)", *names} <= set(tab.names())
    tab.page.click("button[type=reset]")
    expect(tab.page.locator("#f-kind")).to_have_value("main")
    expect(tab.page.locator("#f-count")).to_have_text(f"{len(names)} of {len(names) + 3} rows")
    assert tab.errors == []
    tab.context.close()


def test_a_row_opens_and_a_link_opens_the_section_of_a_method(tab):
    row = tab.page.locator("#rows tbody tr[data-name=real-anchor]")
    row.locator("summary").click()
    link = row.locator("details a")
    assert link.is_visible()
    link.click()
    heading = tab.page.locator("#m-real-anchor")
    heading.wait_for(state="visible")
    assert tab.page.locator("details.entry", has=heading).locator("pre").is_visible()


def test_nothing_went_wrong_after_all_this(tab):
    """Runs after the tests above, in the same tab."""
    assert tab.errors == []
    assert len(tab.requests) == 1


def test_without_a_script_everything_is_there(browser, reported):
    tab = Tab(browser, reported[1], script=False)
    assert not tab.page.locator(".filters").is_visible()
    assert tab.page.locator("#rows tbody tr").count() == tab.page.locator("#methods .entry").count()
    summary = tab.page.locator("#methods summary").first
    summary.click()
    assert tab.page.locator("#methods h3").first.is_visible()
    tab.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_no_serious_fault_of_accessibility(browser, reported_tuned, width, scheme):
    tab = Tab(browser, reported_tuned[1], width, scheme)
    tab.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = Axe().run(tab.page).response["violations"]
    serious = {
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    }
    assert serious == set()
    tab.context.close()


def test_a_phone_scrolls_down_only(browser, reported_tuned):
    tab = Tab(browser, reported_tuned[1], 390)
    tab.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wide = tab.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    tab.context.close()
