"""What a device may offer beyond WebGPU's core, under one name on both hosts.

The names are WebGPU's own; a host that has another for the same thing is listed here. A kernel
that needs one of them is a variant: without it the device computes the same in f32.
"""

from __future__ import annotations

from collections.abc import Collection

SHADER_F16 = "shader-f16"
"""f16 in shaders; sums stay f32."""

SUBGROUPS = "subgroups"
"""Invocations that see each other's registers. How many there are is in `AdapterInfo`: 4 to 128,
0 where the host only tells a range."""

TIMESTAMPS = "timestamp-query"

SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix"
"""Small matrix products by a whole subgroup; a browser started with a flag offers it."""

PACKED_DOT = "packed_4x8_integer_dot_product"
"""dot4I8Packed and its kin. A feature of the language, not of the adapter: a device that has no
instruction for it computes it otherwise."""

DEVICE_FEATURES = (SHADER_F16, SUBGROUPS, TIMESTAMPS, SUBGROUP_MATRIX)
"""Asked for where the adapter has them (static/gpu/host.js names the same)."""

LANGUAGE_FEATURES = (PACKED_DOT,)

NATIVE_NAMES = {SUBGROUPS: "subgroup"}
"""wgpu's own names."""

NAGA_LANGUAGE_FEATURES = frozenset({PACKED_DOT})
"""What the pinned wgpu compiles without being asked; it lists no language features itself."""


def native_features(offered: Collection[str]) -> dict[str, str]:
    """Return the wanted features of a wgpu adapter: WebGPU's name → wgpu's."""
    names = {name: NATIVE_NAMES.get(name, name) for name in DEVICE_FEATURES}
    return {name: native for name, native in names.items() if native in offered}
