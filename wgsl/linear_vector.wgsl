// linear_vector — Y = X·Wᵀ + H·Bᵀ (+ residual) for a few rows: decoding and the last position
// Operands and result as in linear.wgsl, which it equals up to the order of summation.
// Dispatch (⌈N/4/LANES⌉, M, 1): an invocation owns four columns of one row and every SLICES-th
// octet of K; the slices meet in workgroup memory and are summed in a fixed order.
// Needs a weights_* prelude (bindings 0 and 1).

@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,          // N / 4
  octets: u32,         // K / 8
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

@compute @workgroup_size(LANES, SLICES)
fn linear_vector(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: this slice's share of four dot products. Quads past the end repeat the last one.
  let quad = group.x * LANES + local.x;
  let read_quad = min(quad, params.quads - 1u);
  let row = group.y;
  let x_start = row * 2u * params.octets;
  var sum = vec4f();
  for (var octet = local.y; octet < params.octets; octet += SLICES) {
    let packed = load_words(octet, read_quad, params.quads);
    let scale = load_scales(octet, read_quad, params.quads);
    let lo = x[x_start + 2u * octet];
    let hi = x[x_start + 2u * octet + 1u];
    let w0 = dequantize(packed, scale, 0u);
    let w1 = dequantize(packed, scale, 1u);
    let w2 = dequantize(packed, scale, 2u);
    let w3 = dequantize(packed, scale, 3u);
    sum += vec4f(
      dot(lo, w0.lo) + dot(hi, w0.hi), dot(lo, w1.lo) + dot(hi, w1.hi),
      dot(lo, w2.lo) + dot(hi, w2.hi), dot(lo, w3.lo) + dot(hi, w3.hi),
    );
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
