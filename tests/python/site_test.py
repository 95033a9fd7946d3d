"""The documentation's site: it can be built, names all that the package exports, and has no dead links."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import taut

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/make_docs.py"

pytest.importorskip("mkdocs", reason="mkdocs is not installed (scripts/setup.sh)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, SCRIPT, folder], check=True)
    return folder


def test_every_page_is_there(site):
    pages = [page.relative_to(ROOT).with_suffix(".html") for page in ROOT.glob("docs/*.md")]
    assert len(pages) > 10
    assert [page for page in pages if not (site / page).is_file()] == []
    assert "taut" in (site / "index.html").read_text("utf-8")


def test_the_reference_names_all_that_is_exported(site):
    reference = (site / "docs/reference.html").read_text("utf-8")
    missing = [f"{module}.{name}" for name, module in taut._EXPORTS.items() if f'id="{module}.{name}"' not in reference]
    assert missing == []


@pytest.mark.parametrize("link", ["docs/nowhere.md", "docs/python.md#nowhere"])
def test_a_dead_link_is_an_error(tmp_path, link):
    spec = importlib.util.spec_from_file_location("make_docs", SCRIPT)
    make_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_docs)
    make_docs.stage(tmp_path / "build/docs/pages")
    page = tmp_path / "build/docs/pages/README.md"
    page.write_text(page.read_text("utf-8") + f"\n[more]({link})\n", "utf-8")
    (tmp_path / "mkdocs.yml").write_bytes((ROOT / "mkdocs.yml").read_bytes())
    for folder in ("python", "scripts"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    assert "nowhere" in make_docs.build(tmp_path, tmp_path / "site")
