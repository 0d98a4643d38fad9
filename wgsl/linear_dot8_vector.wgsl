// linear_dot8_vector — Y = X·Wᵀ + H·Bᵀ (+ residual) with X in eight bits, for a few rows: decoding
// Operands and result as in linear_dot8.wgsl, which it equals up to the order of summation.
// Dispatch (⌈N/4/LANES⌉, M, 1): an invocation owns four columns of one row and every SLICES-th
// group of K; the slices meet in workgroup memory and are summed in a fixed order.
// Needs a codes_* prelude (bindings 0 and 1).

@group(0) @binding(2) var<storage, read> codes: array<vec4u>;
@group(0) @binding(3) var<storage, read> code_scales: array<vec2f>;
@group(0) @binding(4) var<storage, read> h: array<f32>;
@group(0) @binding(5) var<storage, read> b: array<f32>;
@group(0) @binding(6) var<storage, read> residual: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,          // N / 4
  groups: u32,         // K / 32
  rank: u32,           // 0: no adapter
  modules: u32,
  first_bound: u32,    // rows of W before the second module
  second_bound: u32,   // rows of W before the third module
  has_residual: u32,
}

override LANES: u32 = 8;
override SLICES: u32 = 8;

var<workgroup> partial: array<vec4f, LANES * SLICES>;

fn adapter(row: u32, column: u32) -> vec4f {
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  let h_start = (row * params.modules + stack) * params.rank;
  var sum = vec4f();
  for (var r = 0u; r < params.rank; r++) {
    let b_start = column * params.rank + r;
    sum += h[h_start + r] * vec4f(
      b[b_start], b[b_start + params.rank], b[b_start + 2u * params.rank], b[b_start + 3u * params.rank],
    );
  }
  return sum;
}

// Four elements of a row times those of four columns.
fn dots(w: vec4u, x: u32) -> vec4i {
  return vec4i(dot4I8Packed(w.x, x), dot4I8Packed(w.y, x), dot4I8Packed(w.z, x), dot4I8Packed(w.w, x));
}

@compute @workgroup_size(LANES, SLICES)
fn linear_dot8_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let row = group.y;
  let quad = group.x * LANES + local.x;
  let read_quad = min(quad, params.quads - 1u);
  let start = row * params.groups;

  // Phase 1: this invocation's share of the groups.
  var sum = vec4f();
  for (var g = local.y; g < params.groups; g += SLICES) {
    let lo = codes[2u * (start + g)];
    let hi = codes[2u * (start + g) + 1u];
    let scale = code_scales[start + g];
    let w = load_codes(g, read_quad, params.quads);
    let packed = scales[g * params.quads + read_quad];
    let s0 = unpack2x16float(packed.x); let s1 = unpack2x16float(packed.y);
    let s2 = unpack2x16float(packed.z); let s3 = unpack2x16float(packed.w);
    let total = dots(w[0], lo.x) + dots(w[1], lo.y) + dots(w[2], lo.z) + dots(w[3], lo.w)
      + dots(w[4], hi.x) + dots(w[5], hi.y) + dots(w[6], hi.z) + dots(w[7], hi.w);
    sum += scale.x * (vec4f(s0.x, s1.x, s2.x, s3.x) * vec4f(total) + vec4f(s0.y, s1.y, s2.y, s3.y) * scale.y);
  }
  partial[local.y * LANES + local.x] = sum;
  workgroupBarrier();

  // Phase 2: add the slices, the adapter and the residual.
  if (local.y > 0u || quad >= params.quads) { return; }
  var total = vec4f();
  for (var slice = 0u; slice < SLICES; slice++) {
    total += partial[slice * LANES + local.x];
  }
  let index = row * params.quads + quad;
  if (params.rank > 0u) { total += adapter(row, 4u * quad); }
  if (params.has_residual > 0u) { total += residual[index]; }
  y[index] = total;
}
