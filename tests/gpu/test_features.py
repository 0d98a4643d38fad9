"""Optional features have one name on both hosts, and are there where the device says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.gpu.device import Device
from app.gpu.features import (
    DEVICE_FEATURES,
    LANGUAGE_FEATURES,
    PACKED_DOT,
    SHADER_F16,
    SUBGROUPS,
    native_features,
)
from app.gpu.kernels import KernelSource
from tests.conftest import run

GPU_HOST = Path(__file__).parents[2] / "static" / "gpu" / "host.js"

USES = {
    PACKED_DOT: "x[0] = u32(dot4I8Packed(x[0], x[1]));",
    SHADER_F16: "x[0] = u32(f16(x[1]));",
    SUBGROUPS: "x[0] = subgroupAdd(x[1]);",
}


def test_native_names_become_those_of_webgpu() -> None:
    offered = {"subgroup", "subgroup-barrier", "timestamp-query", "shader-f64"}
    assert native_features(offered) == {
        "subgroups": "subgroup",
        "timestamp-query": "timestamp-query",
    }


def test_the_page_asks_for_the_same() -> None:
    source = GPU_HOST.read_text(encoding="utf-8")
    for constant, names in (
        ("FEATURES", DEVICE_FEATURES),
        ("LANGUAGE_FEATURES", LANGUAGE_FEATURES),
    ):
        match = re.search(rf"^const {constant} = .*?\[('.*?)\]", source, re.M)
        assert match
        assert re.findall(r"'([^']+)'", match[1]) == list(names)


@pytest.mark.gpu
@pytest.mark.parametrize("feature", USES)
def test_a_feature_that_a_device_names_works_in_a_shader(device: Device, feature: str) -> None:
    if feature not in device.features:
        pytest.skip(f"this adapter has no {feature}")
    declared = "@group(0) @binding(0) var<storage, read_write> x: array<u32>;"
    code = f"{declared}\n@compute @workgroup_size(4) fn main() {{ {USES[feature]} }}"
    if feature == SHADER_F16:
        code = f"enable f16;\n{code}"
    run(device.compile([KernelSource(feature, code, "main")]))
