// linear_backward_tile — dX = dY·W + G·A, as linear_backward.wgsl, through tiles in workgroup memory
// Operands: lib/backward_operands.wgsl. Reads the very buffer the forward reads.
// Dispatch (⌈K/4/LANES⌉, ⌈M/8/BANDS⌉, 1): a workgroup owns 8·BANDS rows × 4·LANES columns, an
// invocation 8 × 4 of them in named registers. N goes by in blocks of 32: both operands of a block
// are staged with n outermost; a word of W, eight neighbouring columns, is staged as it lies.
// Needs a real_* and a weights_* prelude (bindings 0 and 1) and the backward_* and factors_* ones; BANDS ≥ 4, LANES
// 8, 16 or 32.

override LANES: u32 = 16;
override BANDS: u32 = 8;

// Four rows of dy (columns of W) a vector. Vectors change places within each n by the quad of n they
// are of, so that the invocations that store eight quads meet no bank twice.
var<workgroup> dy_tile: array<vec4<Real>, 32 * 2 * BANDS>;
var<workgroup> w_tile: array<vec4<Real>, 32 * LANES>;

struct Tile { r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f, r4: vec4f, r5: vec4f, r6: vec4f, r7: vec4f }

// What was staged, four numbers of it.
fn operand(at: u32) -> vec4f { return vec4f(dy_tile[at]); }
fn weight(at: u32) -> vec4f { return vec4f(w_tile[at]); }

// Add the outer product of eight rows with four columns.
fn accumulate(t: Tile, low: vec4f, high: vec4f, w: vec4f) -> Tile {
  return Tile(
    t.r0 + low.x * w, t.r1 + low.y * w, t.r2 + low.z * w, t.r3 + low.w * w,
    t.r4 + high.x * w, t.r5 + high.y * w, t.r6 + high.z * w, t.r7 + high.w * w,
  );
}

// Four elements of a row of dy; zeros past N, rows past the end repeat the last.
fn load_dy(row: u32, quad: u32) -> vec4f {
  let value = dy[min(row, params.rows - 1u) * params.quads + min(quad, params.quads - 1u)];
  return select(vec4f(), value, quad < params.quads);
}

// Stage four rows of dy × four n.
fn stage_dy(row: u32, row_quad: u32, block: u32, n_quad: u32) {
  let quad = 8u * block + n_quad;
  let by_n = transpose(mat4x4f(
    load_dy(row, quad), load_dy(row + 1u, quad), load_dy(row + 2u, quad), load_dy(row + 3u, quad),
  ));
  let at = 8u * n_quad * BANDS + (row_quad ^ n_quad);
  dy_tile[at] = vec4<Real>(by_n[0]);
  dy_tile[at + 2u * BANDS] = vec4<Real>(by_n[1]);
  dy_tile[at + 4u * BANDS] = vec4<Real>(by_n[2]);
  dy_tile[at + 6u * BANDS] = vec4<Real>(by_n[3]);
}

fn stage_octet(n: u32, lane: u32, n_quad: u32, w: Octet) {
  w_tile[n * LANES + (lane ^ n_quad)] = vec4<Real>(w.lo);
  w_tile[n * LANES + ((lane + 1u) ^ n_quad)] = vec4<Real>(w.hi);
}

// Stage four n × eight columns of W: what is past the ends repeats the last.
fn stage_w(first: u32, lane: u32, block: u32, n_quad: u32) {
  let octet = min((first + lane) / 2u, params.octets - 1u);
  let quad = min(8u * block + n_quad, params.quads - 1u);
  let packed = load_words(octet, quad, params.quads);
  let scale = load_scales(octet, quad, params.quads);
  stage_octet(4u * n_quad, lane, n_quad, dequantize(packed, scale, 0u));
  stage_octet(4u * n_quad + 1u, lane, n_quad, dequantize(packed, scale, 1u));
  stage_octet(4u * n_quad + 2u, lane, n_quad, dequantize(packed, scale, 2u));
  stage_octet(4u * n_quad + 3u, lane, n_quad, dequantize(packed, scale, 3u));
}

@compute @workgroup_size(LANES, BANDS)
fn linear_backward_tile(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) workgroup: vec3u,
) {
  let invocations = LANES * BANDS;
  let first_column = workgroup.x * LANES;   // in quads
  let first_row = workgroup.y * 8u * BANDS;
  var t = Tile();
  for (var block = 0u; block < (params.quads + 7u) / 8u; block++) {
    // Phase 1: stage. W begins at the other end, so that all invocations have a share.
    for (var i = index; i < 16u * BANDS; i += invocations) {
      stage_dy(first_row + 4u * (i / 8u), i / 8u, block, i % 8u);
    }
    for (var i = invocations - 1u - index; i < 4u * LANES; i += invocations) {
      stage_w(first_column, 2u * (i / 8u), block, i % 8u);
    }
    workgroupBarrier();
    // Phase 2: 32 outer products.
    for (var n_quad = 0u; n_quad < 8u; n_quad++) {
      let low = 8u * n_quad * BANDS + ((2u * local.y) ^ n_quad);
      let high = 8u * n_quad * BANDS + ((2u * local.y + 1u) ^ n_quad);
      let at = 4u * n_quad * LANES + (local.x ^ n_quad);
      t = accumulate(t, operand(low), operand(high), weight(at));
      t = accumulate(t, operand(low + 2u * BANDS), operand(high + 2u * BANDS), weight(at + LANES));
      t = accumulate(t, operand(low + 4u * BANDS), operand(high + 4u * BANDS), weight(at + 2u * LANES));
      t = accumulate(t, operand(low + 6u * BANDS), operand(high + 6u * BANDS), weight(at + 3u * LANES));
    }
    workgroupBarrier();
  }
  // Phase 3: the low-rank term; past the end an invocation repeats the last columns.
  let column = first_column + local.x;
  let row = first_row + 8u * local.y;
  for (var r = 0u; r < params.ranks; r++) {
    let low = vec4f(load_g(row, r), load_g(row + 1u, r), load_g(row + 2u, r), load_g(row + 3u, r));
    let high = vec4f(load_g(row + 4u, r), load_g(row + 5u, r), load_g(row + 6u, r), load_g(row + 7u, r));
    t = accumulate(t, low, high, load_a(r, min(column, 2u * params.octets - 1u)));
  }
  store_quad(row, column, t.r0); store_quad(row + 1u, column, t.r1);
  store_quad(row + 2u, column, t.r2); store_quad(row + 3u, column, t.r3);
  store_quad(row + 4u, column, t.r4); store_quad(row + 5u, column, t.r5);
  store_quad(row + 6u, column, t.r6); store_quad(row + 7u, column, t.r7);
}
