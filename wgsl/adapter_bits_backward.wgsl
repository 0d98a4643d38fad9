// adapter_bits_backward — the straight-through gradient of packed A and B, clipped, in place
// dL/dw = dL/dŵ, but 0 where |w| > 2^BITS·scale and a step against the gradient would enlarge |w|: such a
// value is past the last level by more than half a step already. A scale of 0 lets all zeros pass.
// gradients: dL/dŵ → dL/dw, flat like values · packed: what values were packed to (adapter_bits.wgsl)
// Dispatch (packed rows, 1, 1). Needs an adapter_* prelude.
// Source: straight-through arXiv:1308.3432; clipping arXiv:1602.02830 §1.3, here on one side only.

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> packed: array<u32>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn adapter_bits_backward(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let row = row_of(group.x);
  for (var n = lane; n < row.columns; n += WORKGROUP_SIZE) {
    let at = row.start + n * row.stride;
    let scale = bitcast<f32>(packed[row.scale + module_of(row, n) * row.scale_stride]);
    let is_outside = abs(values[at]) > f32(1u << BITS) * scale;
    if (is_outside && values[at] * gradients[at] < 0.0) { gradients[at] = 0.0; }
  }
}
