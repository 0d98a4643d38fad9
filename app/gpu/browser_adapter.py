"""What a browser tells of its GPU, and what it wants to be told of a shader."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.gpu.adapter import AdapterInfo
from app.gpu.features import SUBGROUPS

SOFTWARE_NAMES = ("swiftshader", "llvmpipe", "lavapipe", "basic render")


def with_extensions(code: str, features: Collection[str]) -> str:
    """Name the extensions that a shader uses: browsers ask for it, naga does not know them.

    On the first line, so that line numbers in messages stay those of the shader.
    """
    uses_subgroups = SUBGROUPS in features and "subgroup" in code
    return f"enable subgroups; {code}" if uses_subgroups else code


def adapter_info(info: Any, has_subgroups: bool, version: str = "") -> AdapterInfo:
    """Return who a GPUAdapterInfo is; browsers leave empty what they will not tell."""
    vendor, architecture, device, description = (
        str(getattr(info, key, "") or "")
        for key in ("vendor", "architecture", "device", "description")
    )
    name = description or device or " ".join(filter(None, (vendor, architecture)))
    told = f"{vendor} {architecture} {device} {description}".lower()
    is_software = bool(getattr(info, "isFallbackAdapter", False)) or any(
        word in told for word in SOFTWARE_NAMES
    )
    backend = str(getattr(info, "backend", "") or "WebGPU")
    sizes = {int(getattr(info, f"subgroup{which}Size", 0) or 0) for which in ("Min", "Max")}
    subgroup_size = sizes.pop() if has_subgroups and len(sizes) == 1 else 0
    return AdapterInfo(name or "unnamed GPU", vendor, backend, is_software, subgroup_size, version)
