"""The pages that commands write: whole, loading nothing, in the frame that reports have, with nothing cut off."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from report_support import Page

from taut import style

ROOT = Path(__file__).resolve().parents[2]
TAUT = Path(os.environ.get("TAUT_BUILD", ROOT / "build/release")) / "bin/taut"


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    page = tmp_path_factory.mktemp("figures") / "figures.html"
    subprocess.run([str(TAUT), "figures", "--out", str(page)], check=True, capture_output=True)
    return page.read_text("utf-8")


def test_the_page_of_figures_is_whole_and_loads_nothing(figures):
    page = Page(figures)
    assert page.open == []
    assert page.loads == []
    assert page.scripts == 0
    assert "figure 8" in page.text


def test_the_page_of_figures_has_the_style_of_reports(figures):
    assert (ROOT / "python/taut/page.css").read_text("utf-8") in figures


def test_the_page_of_figures_has_the_frame_of_reports(figures):
    title = "HyPar's figures, computed again"
    body = figures.split("</h1>\n", 1)[1].removesuffix("</main></body></html>\n")
    assert figures == style.page(title, body).replace("&#x27;", "'")


def test_what_is_put_into_a_page_is_not_looked_through_again():
    page = style.page("50 %TITLE% <b>", "%HEAD% & %BODY%", "%STYLE%")
    assert "<h1>50 %TITLE% &lt;b&gt;</h1>\n%HEAD% & %BODY%</main>" in page
    assert "</style>%STYLE%</head>" in page
    assert Page(page).open == []


def test_legends_stay_inside_their_chart(figures):
    charts = re.findall(r'<svg viewBox="0 (-?\d+) (\d+) (\d+)".*?</svg>', figures, re.DOTALL)
    assert len(charts) >= 7
    for chart in re.findall(r"<svg.*?</svg>", figures, re.DOTALL):
        top, width = map(int, re.search(r'viewBox="0 (-?\d+) (\d+)', chart).groups())
        names = re.findall(r'<text x="([\d.]+)" y="(-?[\d.]+)" text-anchor="start">([^<]+)</text>', chart)
        assert names
        for x, y, name in names:
            assert float(x) + 5.5 * len(name) <= width, name  # 5.5: a letter of 11 pixels, on average
            assert float(y) - 9 >= top, name
