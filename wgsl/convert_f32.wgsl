// convert_f32 — a packed matrix of any format becomes an f32 one (lib/weights_f32.wgsl)
// → dense (K, N): the bits of one weight a word. Dispatch grid_1d(K/8 · N, 64): an octet of a row each.
// Needs a weights_* prelude (bindings 0 and 1).

@group(0) @binding(2) var<storage, read_write> dense: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  quads: u32,    // N / 4
  octets: u32,   // K / 8
}

@compute @workgroup_size(64)
fn convert_f32(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let stride = 4u * params.quads;
  let octet = index / stride;
  if (octet >= params.octets) { return; }
  let row = index % stride;
  let value = dequantize(
    load_words(octet, row / 4u, params.quads), load_scales(octet, row / 4u, params.quads), row % 4u,
  );
  for (var i = 0u; i < 4u; i++) {
    dense[(8u * octet + i) * stride + row] = value.lo[i];
    dense[(8u * octet + 4u + i) * stride + row] = value.hi[i];
  }
}
