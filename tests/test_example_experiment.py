"""What the experiments share: files that survive an interruption, and tables inside a page."""

from __future__ import annotations

import json
from argparse import ArgumentParser

import pytest

torch = pytest.importorskip("torch")
from examples.experiment import (  # noqa: E402
    Checkpoint,
    add_training_options,
    machine,
    markdown_table,
    put_between,
    read_json,
    write_json,
)


def test_a_checkpoint_brings_back_state_and_random_numbers(tmp_path):
    checkpoint = Checkpoint(tmp_path / "new" / "run.pt")
    assert checkpoint.load() is None
    torch.manual_seed(3)
    checkpoint.save(epoch=2, model={"w": torch.ones(2)}, history=[{"loss": 1.5}])
    after = torch.rand(4)
    state = checkpoint.load()
    assert (
        state["epoch"] == 2 and state["history"] == [{"loss": 1.5}] and torch.equal(state["model"]["w"], torch.ones(2))
    )
    assert torch.equal(torch.rand(4), after)
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load() is None


def test_an_interrupted_write_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"f1": 0.5, "title": "ℓ2"})
    with pytest.raises(TypeError):
        write_json(path, {"f1": torch.ones(1)})
    assert read_json(path) == {"f1": 0.5, "title": "ℓ2"}


def test_a_table_is_put_between_its_comments(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- runs -->\nold\n<!-- end of runs -->\nb <!-- other -->\n")
    table = markdown_table(["loss", "F1"], [["ℓ2 \\1", "70.00"]])
    put_between(page, "runs", table)
    put_between(page, "runs", table)
    assert page.read_text() == f"a\n<!-- runs -->\n{table}\n<!-- end of runs -->\nb <!-- other -->\n"
    with pytest.raises(SystemExit, match="has no lines <!-- other --> and <!-- end of other -->"):
        put_between(page, "other", "x")


def test_options_and_machine_can_be_written_down(tmp_path):
    parser = ArgumentParser()
    add_training_options(parser, epochs=7, out="some")
    options = parser.parse_args(["--quick", "--seed", "3"])
    assert (options.epochs, options.seed, options.quick, options.resume) == (7, 3, True, False)
    assert options.out.parts[-3:] == ("examples", "out", "some")
    assert {"date", "machine", "python", "torch", "dagdp"} <= set(json.loads(json.dumps(machine())))
