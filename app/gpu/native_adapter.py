"""What wgpu tells of an adapter, in the engine's words."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.budget import software_share
from app.gpu.features import SUBGROUPS

WANTED_LIMITS = (
    "max-buffer-size",
    "max-storage-buffer-binding-size",
    "max-storage-buffers-per-shader-stage",
    "max-compute-workgroup-storage-size",
    "max-compute-invocations-per-workgroup",
    "max-compute-workgroup-size-x",
)
"""Asked for as large as the adapter has them; the rest stays WebGPU's default."""


def adapter_info(info: Mapping[str, Any], features: Collection[str], version: str) -> AdapterInfo:
    """Return who an adapter is; `version` is wgpu-py's."""
    return AdapterInfo(
        name=info["device"],
        vendor=info["vendor"],
        backend=info["backend_type"],
        is_software=info["adapter_type"] == "CPU",
        subgroup_size=_subgroup_size(info["device"]) if SUBGROUPS in features else 0,
        version=f"wgpu {version}, {info['description']}",
    )


def adapter_limits(limits: Mapping[str, int], info: AdapterInfo) -> Limits:
    """Return the limits of a device that is asked for `WANTED_LIMITS`."""
    return Limits(
        max_buffer_bytes=limits["max-buffer-size"],
        max_binding_bytes=limits["max-storage-buffer-binding-size"],
        max_storage_buffers=limits["max-storage-buffers-per-shader-stage"],
        max_workgroup_storage_bytes=limits["max-compute-workgroup-storage-size"],
        max_invocations=limits["max-compute-invocations-per-workgroup"],
        max_workgroups=limits["max-compute-workgroups-per-dimension"],
        memory_bytes=software_share(info, _computer_bytes()),
    )


def _computer_bytes() -> int:
    """Return how much memory the computer has, 0 where it is not told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def _subgroup_size(name: str) -> int:
    """Return lavapipe's subgroup size, which its name tells; 0 for other adapters.

    wgpu reports a range of sizes only, 4 to 128 for lavapipe, whose subgroups are exactly as wide
    as its vectors of f32.
    """
    found = re.fullmatch(r"llvmpipe \(.*\b(\d+) bits\)", name)
    return int(found.group(1)) // 32 if found else 0
