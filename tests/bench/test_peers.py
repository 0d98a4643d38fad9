"""The peers are pinned, apart from the default install; what they are compared with is ours."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.models.random import named_shape
from tests.bench.peers.paper import dequantize, paper_model, record_decoder
from tests.bench.peers.record import record_product, record_projection
from tests.bench.peers.table import markdown

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"


def test_pins_are_exact_and_locked():
    wanted = json.loads((PEERS / "package.json").read_text())["dependencies"]
    locked = json.loads((PEERS / "package-lock.json").read_text())["packages"]
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert locked[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in entry for path, entry in locked.items() if path)
    assert not any("resolved" in entry for entry in locked.values())  # mirrors work


def test_peers_are_not_part_of_the_default_install():
    package = json.loads((ROOT / "package.json").read_text())
    peers = json.loads((PEERS / "package.json").read_text())["dependencies"]
    assert not set(peers) & {*package["dependencies"], *package.get("devDependencies", {})}
    assert "workspaces" not in package


def test_a_product_is_written_down_with_all_that_the_page_needs():
    written = record_product("forward", "int4", 24, (64, 96), None)
    (program,) = written["programs"]
    assert written["roles"].keys() == {"words", "scales", "x", "y"}
    sizes = {role: written["buffers"][index][1] for role, index in written["roles"].items()}
    assert sizes["words"] == 64 * 96 // 2
    assert (sizes["x"], sizes["y"]) == (24 * 96 * 4, 24 * 64 * 4)
    kernels = [written["kernels"][dispatch["kernel"]] for dispatch in program]
    assert all(kernel["entryPoint"] in kernel["code"] for kernel in kernels)


def test_a_projection_is_written_down_with_its_gradients():
    roles = record_projection(8, (64, 96), 4)["roles"]
    assert set(roles) >= {"words", "x", "dy", "y", "dx", "A", "B", "dA", "dB"}


def test_a_decoder_is_written_down_with_its_weights():
    config = replace(
        named_shape("smollm2-135m"),
        num_hidden_layers=1,
        vocab_size=64,
        hidden_size=64,
        intermediate_size=96,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
    )
    spec, blobs = record_decoder(config, 8)
    assert set(spec["written"]["data"].values()) | {
        weight["path"] for weight in spec["weights"].values()
    } == set(blobs)
    for weight in spec["weights"].values():
        assert len(blobs[weight["path"]]) == 4 * np.prod(weight["shape"])
    # random_model gives all weights variance 1 / columns and mean 0
    head = dequantize(paper_model(config).weights.head)
    assert abs(head.std() * 8 - 1) < 0.05
    assert abs(head.mean()) < 0.01


def test_table_shows_every_contender():
    line = {"bench": "product_forward", "part": "o", "shape": [64, 576, 576], "peak_gflops": 50.0}
    line |= {"gflops": 4.0, "gflops_low": 3.0, "gflops_high": 5.0, "share": 0.08}
    text = markdown([{**line, "name": "ours"}, {**line, "name": "theirs", "gflops": 6.0}])
    assert "| ours | 4.00 (3.00–5.00), 8.0 % |" in text
    assert "| theirs | 6.00 (3.00–5.00), 8.0 % |" in text
