#!/usr/bin/env python3
"""Makes the documentation site: make_docs.py [FOLDER]   (build/docs/site when left out)

Pages are staged as they lie in the repository, with the files beside them that they link to, so that a link which works
there works here; one that does not, and anything else that is odd, fails.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def linked_files(page: Path) -> list[Path]:
    """The files of the repository that a page links to; of a folder all that git tracks."""
    files = []
    for link in LINK.findall(page.read_text("utf-8")):
        target = (page.parent / link).resolve()
        if target.is_dir():
            listed = subprocess.run(["git", "ls-files", "-z", target], cwd=ROOT, capture_output=True, check=True)
            files += [ROOT / name for name in listed.stdout.decode().split("\0") if name]
        elif target.is_file():
            files.append(target)
    return files


def stage(folder: Path) -> None:
    """Copies pages and what they link to, with their places."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = [page for pattern in PAGES for page in sorted(ROOT.glob(pattern))]
    for file in dict.fromkeys([*pages, *(file for page in pages for file in linked_files(page))]):
        to = folder / file.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)


def build(root: Path, site: Path) -> str:
    """Builds what is staged below root; what was said where anything is wrong, else nothing."""
    # Not --quiet, which hides warnings from --strict too.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def main() -> None:
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/docs/site").resolve()
    stage(ROOT / "build/docs/pages")
    if problem := build(ROOT, site):
        raise SystemExit(f"{problem}\nerror: the site cannot be built, {ROOT / 'mkdocs.yml'}, see above")
    print(site / "index.html")


if __name__ == "__main__":
    main()
