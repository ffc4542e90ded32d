"""Every snippet of the README and of the documentation runs, top to bottom, and so does every example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Pages whose output is compared as well: tests/test_docs_pages.py and tests/test_docs_coming_from.py.
ELSEWHERE = {"pipeline.md", "maths.md", "recurrences.md", "coming_from.md"}
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if path.name not in ELSEWHERE and not {"_build", "gallery"} & set(path.parts)
    if re.search(r"^```python$", path.read_text(encoding="utf-8"), flags=re.M)
]


# The README and the pages of docs/, not of its folders, run each by itself, as a user would run it, by `make test-
# all`. A process imports torch and reads kernels for 5 to 20 s, so `make test` has one for all pages: each in a
# namespace of its own, below a heading that names it. It leaves out docs/extending.md, whose operator has nine
# kernels of its own.
TOGETHER = [page for page in PAGES if page != "docs/extending.md"]
ALONE = [pytest.param([page], id=page, marks=pytest.mark.exhaustive) for page in PAGES if page.count("/") < 2]
RUN = """
import pathlib, runpy, sys
for script in sys.argv[1:]:
    print(pathlib.Path(script).stem, file=sys.stderr, flush=True)
    runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("pages", [pytest.param(TOGETHER, id="together"), *ALONE])
def test_snippets_run(pages, tmp_path):
    scripts = []
    for page in pages:
        text = (ROOT / page).read_text()
        if "import torch" in text:
            pytest.importorskip("torch")
        if "dagdp.bulk" in text:
            pytest.importorskip("dask")
        blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
        assert blocks
        name = page.removesuffix(".md").replace("/", "_")
        scripts.append(tmp_path / f"page_{name}.py")  # a cuda.py would hide the package of that name
        scripts[-1].write_text("\n".join(blocks))
    command = [sys.executable, "-c", RUN, *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


def test_quickstart_runs_and_writes_its_pictures():
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "quickstart.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pictures = sorted(path.name for path in (ROOT / "examples" / "out").glob("*.png"))
    assert len(pictures) >= 3
    for name in pictures:
        assert name in done.stdout


def run(example: str, *arguments: object) -> str:
    """What the example prints."""
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_word_lattice_reads_its_own_sentences():
    printed = run("word_lattice.py")
    assert "4 sentences" in printed and "他 说 的确 实在 理" in printed
    assert "研究生命的起源: 10 segmentations, 2 in the support" in printed


def test_word_lattice_scores_the_treebank(shared_data):
    folder = shared_data / "dag_zh_segmentation"
    if not folder.is_dir():
        pytest.skip("the treebank is not beside this checkout (shared/data/dag_zh_segmentation)")
    printed = run("word_lattice.py", "--data", folder / "zh_gsdsimp-ud-test.conllu.gz")
    assert "500 sentences, 53 edges" in printed and "F1 0.730" in printed


def test_critical_path_of_its_own_workflow():
    printed = run("critical_path.py")
    assert "7 tasks, 2 chains" in printed and "critical path 178.0 s of 275.0 s" in printed


def test_critical_paths_of_real_workflows(shared_data):
    """Lengths as measured by the makers of the data set's description (SOURCE.md beside it)."""
    folder = shared_data / "dag_workflows"
    if not folder.is_dir():
        pytest.skip("the workflows are not beside this checkout (shared/data/dag_workflows)")
    printed = run("critical_path.py", *sorted(folder.glob("*.json")))
    assert re.findall(r"critical path ([\d.]+) s", printed) == ["204.7", "104.8", "559.8", "799.9"]


def test_readme_names_only_commands_that_exist():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make (\w+)", readme)):
        assert f"\n{target}:" in makefile
