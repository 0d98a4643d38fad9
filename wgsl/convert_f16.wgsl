// convert_f16 — a packed matrix of any format becomes an f16 one (lib/weights_f16.wgsl)
// → halves (K/2, N): two weights of a row a word, each the nearest that f16 has.
// Dispatch grid_1d(K/8 · N, 64): an octet of a row each.
// Needs a half_* and a weights_* prelude (bindings 0 and 1).

@group(0) @binding(2) var<storage, read_write> halves: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  quads: u32,    // N / 4
  octets: u32,   // K / 8
}

fn pair_of(value: vec2f) -> u32 { return half_bits(value.x) | (half_bits(value.y) << 16u); }

@compute @workgroup_size(64)
fn convert_f16(
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
  let at = 4u * octet * stride + row;
  halves[at] = pair_of(value.lo.xy);
  halves[at + stride] = pair_of(value.lo.zw);
  halves[at + 2u * stride] = pair_of(value.hi.xy);
  halves[at + 3u * stride] = pair_of(value.hi.zw);
}
