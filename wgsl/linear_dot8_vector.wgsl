// linear_dot8_vector — Y = X·Wᵀ + H·Bᵀ (+ residual) with X in eight bits, for a few rows: decoding
// Operands: lib/rounded_operands.wgsl; it equals linear_dot8.wgsl up to the order of summation.
// Dispatch (⌈N/4/LANES⌉, M, 1): an invocation owns four columns of one row and every SLICES-th
// group of K; the slices meet in workgroup memory and are summed in a fixed order.
// Needs a codes_* prelude (bindings 0 and 1) and the rounded_* and factors_* ones.

override LANES: u32 = 8;
override SLICES: u32 = 8;

var<workgroup> partial: array<vec4f, LANES * SLICES>;

@compute @workgroup_size(LANES, SLICES)
fn linear_dot8_vector(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: this slice's share of the groups. Quads past the end repeat the last one.
  let quad = group.x * LANES + local.x;
  let read_quad = min(quad, params.quads - 1u);
  let row = group.y;
  let start = row * params.groups;
  var sum = vec4f();
  for (var g = local.y; g < params.groups; g += SLICES) {
    let w = load_codes(g, read_quad, params.quads);
    let products = sum_group(w, codes[2u * (start + g)], codes[2u * (start + g) + 1u]);
    sum += rescale(products, load_affine(g, read_quad), code_scales[start + g]);
  }
  partial[local.y * LANES + local.x] = sum;
  workgroupBarrier();

  // Phase 2: add the slices, the adapter and the residual.
  if (local.y > 0u || quad >= params.quads) { return; }
  var total = vec4f();
  for (var slice = 0u; slice < SLICES; slice++) {
    total += partial[slice * LANES + local.x];
  }
  let hidden = hidden_start(quad);
  for (var r = 0u; r < params.rank; r++) {
    total += load_h(row, hidden + r) * load_b(quad, r);
  }
  store(row, quad, total);
}
