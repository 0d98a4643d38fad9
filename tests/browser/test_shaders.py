"""Every shader with every prelude is valid for the browser’s compiler, used there or not."""

from __future__ import annotations

import itertools
import re

from app.gpu.browser_adapter import with_extensions
from app.gpu.kernels import WGSL_DIR, Kernel
from tests.browser.studio import Studio

COMPILE = """
async sources => {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter.requestDevice({ requiredFeatures: ['subgroups'] });
  device.pushErrorScope('validation'); // told below, with its line
  const failures = await Promise.all(sources.map(async ([label, code]) => {
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    return messages.map(({ type, lineNum, message }) => `${label}: ${type}, line ${lineNum}: ${message}`);
  }));
  await device.popErrorScope();
  device.destroy();
  return failures.flat();
}
"""  # noqa: E501


NEED_HALF_PRECISION = {"real_f16"}
"""Preludes that Chromium's software adapter cannot take: it has no shader-f16."""


def all_kernels() -> list[Kernel]:
    """Return each shader with each choice of the preludes that its header asks for."""
    kernels = []
    for path in sorted(WGSL_DIR.glob("*.wgsl")):
        header = path.read_text(encoding="utf-8").split("@group")[0]
        families = sorted(set(re.findall(r"(\w+)_\* ", header)), reverse=True)
        members = [
            {p.stem for p in WGSL_DIR.glob(f"lib/{family}_*.wgsl")} - NEED_HALF_PRECISION
            for family in families
        ]
        kernels += [Kernel(path.stem, choice) for choice in itertools.product(*members)]
    return kernels


def test_every_shader_is_valid_without_a_warning(tiny: Studio) -> None:
    kernels = all_kernels()
    assert len(kernels) > 50
    sources = [(k.label, with_extensions(k.source().code, {"subgroups"})) for k in kernels]
    assert tiny.page.evaluate(COMPILE, sources) == []
