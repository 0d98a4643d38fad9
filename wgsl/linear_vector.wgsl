// linear_vector — Y = X·Wᵀ + H·Bᵀ (+ residual) for a few rows: decoding and the last position
// Operands: lib/forward_operands.wgsl; it equals linear.wgsl up to the order of summation.
// Dispatch (⌈N/4/LANES⌉, M, 1): an invocation owns four columns of one row and every SLICES-th
// group of 32 along K; the slices meet in workgroup memory and are summed in a fixed order.
// Needs a chunk_* and a weights_* prelude (bindings 0 and 1) and the forward_* and factors_* ones.

override LANES: u32 = 8;
override SLICES: u32 = 8;

var<workgroup> partial: array<vec4f, LANES * SLICES>;

// An octet of x times that of four columns.
fn product(lo: vec4f, hi: vec4f, packed: Words, scale: Scales) -> vec4f {
  let w0 = dequantize(packed, scale, 0u);
  let w1 = dequantize(packed, scale, 1u);
  let w2 = dequantize(packed, scale, 2u);
  let w3 = dequantize(packed, scale, 3u);
  return vec4f(
    dot(lo, w0.lo) + dot(hi, w0.hi), dot(lo, w1.lo) + dot(hi, w1.hi),
    dot(lo, w2.lo) + dot(hi, w2.hi), dot(lo, w3.lo) + dot(hi, w3.hi),
  );
}

// The low-rank term of four columns of one row, four ranks at a time where rows of b begin at vectors.
fn adapter(row: u32, quad: u32) -> vec4f {
  let start = hidden_start(quad);
  let fours = select(0u, params.rank / 4u, params.rank % 4u == 0u);
  var sum = vec4f();
  for (var i = 0u; i < fours; i++) {
    let r = start + 4u * i;
    let hidden = vec4f(load_h(row, r), load_h(row, r + 1u), load_h(row, r + 2u), load_h(row, r + 3u));
    sum += hidden * b_block(4u * i, quad, params.quads, params.rank, start);
  }
  for (var r = 4u * fours; r < params.rank; r++) { sum += load_h(row, start + r) * load_b(quad, r); }
  return sum;
}

@compute @workgroup_size(LANES, SLICES)
fn linear_vector(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) workgroup: vec3u,
) {
  // Phase 1: this slice's share of four dot products. Quads past the end repeat the last one; all
  // slices go round equally often, since invocations may share x, and what is past the end is dropped.
  let quad = workgroup.x * LANES + local.x;
  let read_quad = min(quad, params.quads - 1u);
  let row = workgroup.y;
  let groups = params.octets / 4u;
  var sum = vec4f();
  for (var first = 0u; first < groups; first += SLICES) {
    let group = min(first + local.y, groups - 1u);
    let octet = 4u * group;
    let chunk = load_chunk(2u * (row * params.octets + octet));
    let scale = load_scales(octet, read_quad, params.quads);
    let total = product(chunk[0], chunk[1], load_words(octet, read_quad, params.quads), scale)
      + product(chunk[2], chunk[3], load_words(octet + 1u, read_quad, params.quads), scale)
      + product(chunk[4], chunk[5], load_words(octet + 2u, read_quad, params.quads), scale)
      + product(chunk[6], chunk[7], load_words(octet + 3u, read_quad, params.quads), scale);
    sum += select(vec4f(), total, first + local.y < groups);
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
