// linear_gradient_tile — dW (+)= dYᵀ·X, as linear_gradient.wgsl, through tiles in workgroup memory
// x (T, K) · dy (T, N) → dw (K, N), f32
// Dispatch (⌈N/4/LANES⌉, ⌈K/8/BANDS⌉, 1): a workgroup owns 8·BANDS k × 4·LANES n, an invocation 8 × 4
// of them in named registers. Rows go by in blocks of 32; both operands already lie with the
// contraction outermost, so that staging is a copy. Rows past the end are zeros.
// Needs a real_* prelude.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,       // T
  x_quads: u32,    // K / 4
  dy_quads: u32,   // N / 4
}

override LANES: u32 = 16;
override BANDS: u32 = 8;
override ACCUMULATE: u32 = 1;

const DEPTH = 32u;

var<workgroup> x_tile: array<vec4<Real>, 32 * 2 * BANDS>;
var<workgroup> dy_tile: array<vec4<Real>, 32 * LANES>;

struct Tile { r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f, r4: vec4f, r5: vec4f, r6: vec4f, r7: vec4f }

fn accumulate(t: Tile, low: vec4f, high: vec4f, w: vec4f) -> Tile {
  return Tile(
    t.r0 + low.x * w, t.r1 + low.y * w, t.r2 + low.z * w, t.r3 + low.w * w,
    t.r4 + high.x * w, t.r5 + high.y * w, t.r6 + high.z * w, t.r7 + high.w * w,
  );
}

fn load_x(row: u32, quad: u32) -> vec4f {
  let value = x[min(row, params.rows - 1u) * params.x_quads + min(quad, params.x_quads - 1u)];
  return select(vec4f(), value, row < params.rows);
}

fn load_dy(row: u32, quad: u32) -> vec4f {
  return dy[min(row, params.rows - 1u) * params.dy_quads + min(quad, params.dy_quads - 1u)];
}

fn store(k: u32, quad: u32, value: vec4f) {
  if (k >= 4u * params.x_quads || quad >= params.dy_quads) { return; }
  let at = k * params.dy_quads + quad;
  if (ACCUMULATE == 1u) { dw[at] += value; } else { dw[at] = value; }
}

@compute @workgroup_size(LANES, BANDS)
fn linear_gradient_tile(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) workgroup: vec3u,
) {
  let invocations = LANES * BANDS;
  let wide = 2u * BANDS;                    // quads of x in a tile
  let first_quad = workgroup.x * LANES;
  let first_k_quad = workgroup.y * wide;
  var t = Tile();
  for (var block = 0u; block < params.rows; block += DEPTH) {
    // Phase 1: stage.
    for (var i = index; i < DEPTH * wide; i += invocations) {
      x_tile[i] = vec4<Real>(load_x(block + i / wide, first_k_quad + i % wide));
    }
    for (var i = index; i < DEPTH * LANES; i += invocations) {
      dy_tile[i] = vec4<Real>(load_dy(block + i / LANES, first_quad + i % LANES));
    }
    workgroupBarrier();
    // Phase 2: 32 outer products.
    for (var row = 0u; row < DEPTH; row++) {
      let at = row * wide + 2u * local.y;
      t = accumulate(t, vec4f(x_tile[at]), vec4f(x_tile[at + 1u]), vec4f(dy_tile[row * LANES + local.x]));
    }
    workgroupBarrier();
  }
  let quad = first_quad + local.x;
  let k = 4u * first_k_quad + 8u * local.y;
  store(k, quad, t.r0); store(k + 1u, quad, t.r1); store(k + 2u, quad, t.r2); store(k + 3u, quad, t.r3);
  store(k + 4u, quad, t.r4); store(k + 5u, quad, t.r5); store(k + 6u, quad, t.r6); store(k + 7u, quad, t.r7);
}
