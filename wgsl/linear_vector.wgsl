// linear_vector — Y = X·Wᵀ + H·Bᵀ (+ residual) for a few rows: decoding and the last position
// Operands: lib/forward_operands.wgsl; it equals linear.wgsl up to the order of summation.
// Dispatch (⌈N/4/LANES⌉, M, 1): an invocation owns four columns of one row and every SLICES-th
// octet of K; the slices meet in workgroup memory and are summed in a fixed order.
// Needs a weights_* prelude (bindings 0 and 1) and the forward_* one.

override LANES: u32 = 8;
override SLICES: u32 = 8;

var<workgroup> partial: array<vec4f, LANES * SLICES>;

// The low-rank term of four columns of one row.
fn adapter(row: u32, quad: u32) -> vec4f {
  let start = hidden_start(quad);
  var sum = vec4f();
  for (var r = 0u; r < params.rank; r++) { sum += load_h(row, start + r) * load_b(quad, r); }
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
  store(row, quad, total + adapter(row, quad));
}
