"""The explorer in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from matplotlib.image import imread

import splinecam as sc
from splinecam.plotting import explore
from test_explorer import SQUARE, convolutional, image_slice, mlp

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright, extra browser, is missing"
)
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

READY = "#message:empty"
SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)
        yield browser
        browser.close()


class Visit:
    """A page that is open, and what has happened on it."""

    def __init__(self, browser, path, **options):
        self.tab = browser.new_page(viewport={"width": 1100, "height": 700}, **options)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.url = path.as_uri()
        self.tab.goto(self.url)
        self.tab.wait_for_selector(READY, state="attached")

    def screen(self, point) -> tuple[float, float]:
        return tuple(self.tab.evaluate("([u, v]) => explorer.toScreen(u, v)", list(point)))

    def leave(self) -> None:
        """Move the mouse to where nothing answers to it."""
        self.tab.mouse.move(1090, 3)

    def pixels(self) -> np.ndarray:
        # The page draws in the next frame; one more, so that it is shown.
        self.tab.evaluate("() => new Promise(f => setTimeout(() => requestAnimationFrame(f), 250))")
        return imread(io.BytesIO(self.tab.locator("canvas").screenshot()))

    def hovered(self, point) -> dict:
        self.tab.mouse.move(*self.screen(point))
        section = self.tab.locator("#region")
        values = section.locator("[data-output]").evaluate_all(
            "cells => cells.map(cell => [Number(cell.dataset.output), cell.textContent])"
        )
        bars = section.locator(".bars").first.locator(".value").all_text_contents()
        return {
            "region": int(section.get_attribute("data-region")),
            "area": float(section.locator("[data-field=area]").text_content()),
            "class": int(section.locator("[data-field=class]").text_content()),
            "outputs": {i: float(text.replace("−", "-")) for i, text in values},
            "active": [int(text.split("/")[0]) for text in bars],
        }

    def neighbours(self) -> list[tuple[int, frozenset]]:
        """What the panel lists: neighbours, each with (layer, unit, step)."""
        return [
            (region, frozenset(map(tuple, flips)))
            for region, flips in self.tab.locator("#neighbours li button").evaluate_all(
                """rows => rows.map(row => [Number(row.dataset.region),
                     [...row.querySelectorAll(".flip")].map(({ dataset }) =>
                       [dataset.layer, dataset.unit, dataset.step].map(Number))])"""
            )
        ]


@pytest.fixture(scope="module")
def p() -> sc.Partition:
    model = mlp(2, 12, 12, 3)
    with torch.no_grad():
        model[-1].bias -= model(torch.zeros(2))
    return sc.compute_partition(model, SQUARE)


@pytest.fixture(scope="module")
def visited(browser, p, tmp_path_factory) -> Iterator[Visit]:
    path = tmp_path_factory.mktemp("page") / "page.html"
    explore(p, path)
    visit = Visit(browser, path)
    yield visit
    # After all that the tests did:
    assert visit.errors == []
    assert visit.requests == [visit.url]


@pytest.fixture
def visit(visited: Visit) -> Visit:
    """The page as it is at first."""
    visited.tab.locator("canvas").press("Escape")
    visited.tab.click("#reset")
    visited.leave()
    return visited


def largest(p: sc.Partition, count: int) -> list[int]:
    return np.argsort(-p.areas)[:count].tolist()


def differences(p: sc.Partition, region: int) -> list[tuple[int, frozenset]]:
    """Neighbours, and the (layer, unit, difference) of their patterns."""
    layers = np.repeat(np.arange(len(p.layer_sizes)), p.layer_sizes)
    units = np.concatenate([np.arange(size) for size in p.layer_sizes])
    found = []
    for left, right in p.edge_regions[p.edge_regions[:, 1] >= 0].tolist():
        if region in (left, right):
            other = left + right - region
            own, across = p.patterns([region, other]).astype(int)
            flips = np.flatnonzero(own != across)
            rows = zip(layers[flips], units[flips], (own - across)[flips], strict=True)
            found.append((other, frozenset((int(a), int(b), int(c)) for a, b, c in rows)))
    return found


def test_pointing_shows_the_partition_s_numbers(visit, p):
    slopes, offsets = p.affine_maps()
    patterns = p.patterns()
    for region in largest(p, 25):
        shown = visit.hovered(p.centroids[region])
        outputs = slopes[region] @ p.centroids[region] + offsets[region]
        assert shown["region"] == region
        assert shown["area"] == float(f"{p.areas[region]:.6g}")
        assert shown["class"] == outputs.argmax()
        assert shown["active"] == [patterns[region, :12].sum(), patterns[region, 12:].sum()]
        # At a pixel's fraction from the centroid, and written with three digits.
        for i, value in shown["outputs"].items():
            assert value == pytest.approx(outputs[i], rel=6e-3, abs=2e-3 * np.abs(outputs).max())


def test_clicking_lists_the_neighbours_and_what_changes(visit, p):
    for region in largest(p, 8):
        visit.tab.mouse.click(*visit.screen(p.centroids[region]))
        assert visit.tab.locator("#neighbours").get_attribute("data-region") == str(region)
        assert sorted(visit.neighbours()) == sorted(differences(p, region))


def test_neighbours_can_be_followed(visit, p):
    region = largest(p, 1)[0]
    visit.tab.mouse.click(*visit.screen(p.centroids[region]))
    across = visit.neighbours()[0][0]
    visit.tab.locator("#neighbours li button").first.click()
    assert sorted(visit.neighbours()) == sorted(differences(p, across))
    visit.tab.locator("#neighbours .close").click()
    assert visit.neighbours() == []


@pytest.mark.parametrize("layer", ["0", "1", "boundary"])
def test_toggles_hide_lines(visit, layer):
    before = visit.pixels()
    box = visit.tab.locator(f"input[data-layer='{layer}']")
    box.uncheck()
    visit.leave()
    hidden = visit.pixels()
    changed = (hidden != before).any(axis=2)
    assert 0.002 < changed.mean() < 0.2
    # Lines are dark: without them it gets lighter.
    if layer != "boundary":
        assert hidden[changed].mean() > before[changed].mean()
    box.check()
    visit.leave()
    assert np.array_equal(visit.pixels(), before)


def test_view_moves_and_comes_back(visit, p):
    before = visit.pixels()
    start = visit.screen((0, 0))
    visit.tab.mouse.move(*start)
    visit.tab.mouse.wheel(0, -600)
    assert visit.screen((0, 0)) == pytest.approx(start, abs=1e-6)
    assert visit.screen((1, 0))[0] > 2 * visit.tab.evaluate("() => explorer.view.width / 2")
    visit.tab.mouse.down()
    visit.tab.mouse.move(start[0] + 40, start[1] + 30, steps=4)
    visit.tab.mouse.up()
    assert visit.screen((0, 0)) == pytest.approx((start[0] + 40, start[1] + 30), abs=1e-6)
    assert visit.neighbours() == []
    assert not np.array_equal(visit.pixels(), before)
    visit.tab.click("#reset")
    visit.leave()
    assert np.array_equal(visit.pixels(), before)


def test_keys_move_the_view(visit):
    start, unit = visit.screen((0, 0)), visit.screen((1, 0))[0] - visit.screen((0, 0))[0]
    canvas = visit.tab.locator("canvas")
    canvas.press("ArrowLeft")
    canvas.press("ArrowUp")
    assert visit.screen((0, 0)) == pytest.approx((start[0] + 60, start[1] + 60))
    canvas.press("+")
    now = visit.screen((1, 0))[0] - visit.screen((0, 0))[0]
    assert now == pytest.approx(1.5 * unit)
    canvas.press("0")
    assert visit.screen((0, 0)) == pytest.approx(start)


def test_pinching_zooms(visit):
    session = visit.tab.context.new_cdp_session(visit.tab)

    def touch(kind: str, *spots: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(spots)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    unit = visit.screen((1, 0))[0] - visit.screen((0, 0))[0]
    touch("touchStart", (300, 300), (400, 300))
    for step in range(1, 11):
        touch("touchMove", (300 - 5 * step, 300), (400 + 5 * step, 300))
    touch("touchEnd")
    now = visit.screen((1, 0))[0] - visit.screen((0, 0))[0]
    assert now == pytest.approx(2 * unit, rel=0.05)
    assert visit.neighbours() == []


def test_themes_are_light_and_dark(visit):
    first = visit.pixels()
    visit.tab.click("#theme")
    visit.leave()
    second = visit.pixels()
    visit.tab.click("#theme")
    assert first[5, 5, :3].min() == 1
    assert second[5, 5, :3].max() < 0.15
    assert second[..., :3].mean() < 0.6 * first[..., :3].mean()


def test_convolutions_and_pooling(browser, tmp_path):
    p = sc.compute_partition(convolutional(), image_slice())
    explore(p, tmp_path / "page.html")
    visit = Visit(browser, tmp_path / "page.html")
    slopes, offsets = p.affine_maps()
    for region in largest(p, 5):
        shown = visit.hovered(p.centroids[region])
        outputs = slopes[region] @ p.centroids[region] + offsets[region]
        assert (shown["region"], shown["class"]) == (region, outputs.argmax())
        assert len(shown["active"]) == 2
        visit.tab.mouse.click(*visit.screen(p.centroids[region]))
        assert sorted(visit.neighbours()) == sorted(differences(p, region))
    assert visit.errors == []


def test_notebooks_show_it_in_a_frame(browser, p):
    tab = browser.new_page(viewport={"width": 900, "height": 700})
    tab.set_content(explore(p)._repr_html_())
    frame = tab.frame_locator("iframe")
    frame.locator(READY).wait_for(state="attached")
    assert frame.locator("h1").text_content() == f"{p.n_regions:,} regions"


def test_without_webgl_the_page_says_so(browser, p, tmp_path):
    explore(p, tmp_path / "page.html")
    tab = browser.new_page()
    tab.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    tab.goto((tmp_path / "page.html").as_uri())
    message = tab.locator("#message", has_text="WebGL 2")
    message.wait_for()
    assert "does not offer" in message.text_content()
