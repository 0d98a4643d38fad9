"""Which adapter a device stands on, and what WebGPU lets it do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AdapterInfo:
    """Who the GPU is.

    Attributes:
        subgroup_size: Invocations of a subgroup where subgroups may be used and the size is
            known, else 0.
        version: Of the driver or of the browser, as they name it: another may be as different
            as another GPU.
    """

    name: str
    vendor: str
    backend: str
    is_software: bool
    subgroup_size: int = 0
    version: str = ""


@dataclass(frozen=True)
class Limits:
    """The limits of WebGPU that the engine has to respect.

    Attributes:
        memory_bytes: Of all buffers together, where it is known, else 0: WebGPU does not tell.
    """

    max_buffer_bytes: int
    max_binding_bytes: int
    max_storage_buffers: int
    max_workgroup_storage_bytes: int
    max_invocations: int
    max_workgroups: int
    memory_bytes: int = 0
