// linear_tile — Y = X·Wᵀ + H·Bᵀ (+ residual), as linear.wgsl, through tiles in workgroup memory
// Operands: lib/forward_operands.wgsl.
// Dispatch (⌈N/4/LANES⌉, ⌈M/8/BANDS⌉, 1): a workgroup owns 8·BANDS rows × 4·LANES columns, an
// invocation 8 × 4 of them in named registers. K goes by in groups of 32: both operands of a group
// are staged with k outermost, W dequantized once for the whole tile.
// Needs a real_* and a weights_* prelude (bindings 0 and 1) and the forward_* and factors_* ones; BANDS ≥ 4.
// The low-rank term is added last, from registers.

override LANES: u32 = 16;
override BANDS: u32 = 8;

// Four rows of x (columns of W) a vector. Vectors of x change places within each k by the quad of k
// they are of, so that the invocations that store eight quads of one row meet no bank twice.
var<workgroup> x_tile: array<vec4<Real>, 32 * 2 * BANDS>;
var<workgroup> w_tile: array<vec4<Real>, 32 * LANES>;

struct Tile { r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f, r4: vec4f, r5: vec4f, r6: vec4f, r7: vec4f }

// What was staged, four numbers of it.
fn operand(at: u32) -> vec4f { return vec4f(x_tile[at]); }
fn weight(at: u32) -> vec4f { return vec4f(w_tile[at]); }

// Add the outer product of eight rows with four columns.
fn accumulate(t: Tile, low: vec4f, high: vec4f, w: vec4f) -> Tile {
  return Tile(
    t.r0 + low.x * w, t.r1 + low.y * w, t.r2 + low.z * w, t.r3 + low.w * w,
    t.r4 + high.x * w, t.r5 + high.y * w, t.r6 + high.z * w, t.r7 + high.w * w,
  );
}

// Stage four rows of x × four k: rows past the end repeat the last.
fn stage_x(first: u32, row_quad: u32, group: u32, k_quad: u32) {
  let row = first + 4u * row_quad;
  let last = params.rows - 1u;
  let width = 2u * params.octets;
  let column = 8u * group + k_quad;
  let by_k = transpose(mat4x4f(
    x[min(row, last) * width + column], x[min(row + 1u, last) * width + column],
    x[min(row + 2u, last) * width + column], x[min(row + 3u, last) * width + column],
  ));
  let at = 8u * k_quad * BANDS + (row_quad ^ k_quad);
  x_tile[at] = vec4<Real>(by_k[0]);
  x_tile[at + 2u * BANDS] = vec4<Real>(by_k[1]);
  x_tile[at + 4u * BANDS] = vec4<Real>(by_k[2]);
  x_tile[at + 6u * BANDS] = vec4<Real>(by_k[3]);
}

// Stage four columns of Wᵀ × eight k: columns past the end repeat the last.
fn stage_w(first: u32, lane: u32, group: u32, octet: u32) {
  let quad = min(first + lane, params.quads - 1u);
  let packed = load_words(4u * group + octet, quad, params.quads);
  let scale = load_scales(4u * group, quad, params.quads);
  let a = dequantize(packed, scale, 0u);
  let b = dequantize(packed, scale, 1u);
  let c = dequantize(packed, scale, 2u);
  let d = dequantize(packed, scale, 3u);
  let lo = transpose(mat4x4f(a.lo, b.lo, c.lo, d.lo));
  let hi = transpose(mat4x4f(a.hi, b.hi, c.hi, d.hi));
  let at = 8u * octet * LANES + lane;
  w_tile[at] = vec4<Real>(lo[0]);
  w_tile[at + LANES] = vec4<Real>(lo[1]);
  w_tile[at + 2u * LANES] = vec4<Real>(lo[2]);
  w_tile[at + 3u * LANES] = vec4<Real>(lo[3]);
  w_tile[at + 4u * LANES] = vec4<Real>(hi[0]);
  w_tile[at + 5u * LANES] = vec4<Real>(hi[1]);
  w_tile[at + 6u * LANES] = vec4<Real>(hi[2]);
  w_tile[at + 7u * LANES] = vec4<Real>(hi[3]);
}

@compute @workgroup_size(LANES, BANDS)
fn linear_tile(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) workgroup: vec3u,
) {
  let invocations = LANES * BANDS;
  let first_quad = workgroup.x * LANES;
  let first_row = workgroup.y * 8u * BANDS;
  var t = Tile();
  for (var group = 0u; group < params.octets / 4u; group++) {
    // Phase 1: stage. W begins at the other end, so that all invocations have a share.
    for (var i = index; i < 16u * BANDS; i += invocations) {
      stage_x(first_row, i / 8u, group, i % 8u);
    }
    for (var i = invocations - 1u - index; i < 4u * LANES; i += invocations) {
      stage_w(first_quad, i % LANES, group, i / LANES);
    }
    workgroupBarrier();
    // Phase 2: 32 outer products.
    for (var k_quad = 0u; k_quad < 8u; k_quad++) {
      let low = 8u * k_quad * BANDS + ((2u * local.y) ^ k_quad);
      let high = 8u * k_quad * BANDS + ((2u * local.y + 1u) ^ k_quad);
      let at = 4u * k_quad * LANES + local.x;
      t = accumulate(t, operand(low), operand(high), weight(at));
      t = accumulate(t, operand(low + 2u * BANDS), operand(high + 2u * BANDS), weight(at + LANES));
      t = accumulate(t, operand(low + 4u * BANDS), operand(high + 4u * BANDS), weight(at + 2u * LANES));
      t = accumulate(t, operand(low + 6u * BANDS), operand(high + 6u * BANDS), weight(at + 3u * LANES));
    }
    workgroupBarrier();
  }
  // Phase 3: the low-rank term; past the end an invocation repeats the last columns.
  let quad = first_quad + local.x;
  let read_quad = min(quad, params.quads - 1u);
  let row = first_row + 8u * local.y;
  let start = hidden_start(read_quad);
  var p = Tile();
  for (var r = start; r < start + params.rank; r++) {
    let low = vec4f(load_h(row, r), load_h(row + 1u, r), load_h(row + 2u, r), load_h(row + 3u, r));
    let high = vec4f(load_h(row + 4u, r), load_h(row + 5u, r), load_h(row + 6u, r), load_h(row + 7u, r));
    p = accumulate(p, low, high, load_b(read_quad, r - start));
  }
  store(row, quad, t.r0 + p.r0); store(row + 1u, quad, t.r1 + p.r1);
  store(row + 2u, quad, t.r2 + p.r2); store(row + 3u, quad, t.r3 + p.r3);
  store(row + 4u, quad, t.r4 + p.r4); store(row + 5u, quad, t.r5 + p.r5);
  store(row + 6u, quad, t.r6 + p.r6); store(row + 7u, quad, t.r7 + p.r7);
}
