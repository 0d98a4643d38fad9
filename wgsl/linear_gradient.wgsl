// linear_gradient — dW (+)= dYᵀ·X, the gradient of a product's matrix, stored as packed weights lie
// x (T, K) · dy (T, N) → dw (K, N), f32, which is dW transposed; K a multiple of 16, N of 8
// Dispatch (⌈N/16/LANES⌉, ⌈K/16⌉, 1): an invocation owns 16 k × 16 n in named registers and sums over
// all rows in order. ACCUMULATE adds to what dw holds, the sum over the micro-batches of a step.
// For software adapters; on a GPU these registers would spill: linear_gradient_tile.wgsl.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,       // T
  x_quads: u32,    // K / 4
  dy_quads: u32,   // N / 4
}

override LANES: u32 = 8;
override ACCUMULATE: u32 = 1;

struct Tile { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

fn accumulate(tile: Tile, value: f32, w: Tile) -> Tile {
  return Tile(tile.a + value * w.a, tile.b + value * w.b, tile.c + value * w.c, tile.d + value * w.d);
}

fn store_quad(k: u32, quad: u32, value: vec4f) {
  if (quad >= params.dy_quads) { return; }
  let at = k * params.dy_quads + quad;
  if (ACCUMULATE == 1u) { dw[at] += value; } else { dw[at] = value; }
}

fn store(k: u32, quad: u32, tile: Tile) {
  store_quad(k, quad, tile.a);
  store_quad(k, quad + 1u, tile.b);
  store_quad(k, quad + 2u, tile.c);
  store_quad(k, quad + 3u, tile.d);
}

@compute @workgroup_size(LANES)
fn linear_gradient(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // Past the end an invocation repeats the last columns, and store_quad() drops them.
  let quad = 4u * id.x;
  let columns = min(vec4u(quad, quad + 1u, quad + 2u, quad + 3u), vec4u(params.dy_quads - 1u));
  let k_quad = 4u * group.y;
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  var t8 = Tile(); var t9 = Tile(); var t10 = Tile(); var t11 = Tile();
  var t12 = Tile(); var t13 = Tile(); var t14 = Tile(); var t15 = Tile();
  for (var t = 0u; t < params.rows; t++) {
    let start = t * params.dy_quads;
    let w = Tile(dy[start + columns.x], dy[start + columns.y], dy[start + columns.z], dy[start + columns.w]);
    let at = t * params.x_quads + k_quad;
    let a = x[at]; let b = x[at + 1u]; let c = x[at + 2u]; let d = x[at + 3u];
    t0 = accumulate(t0, a.x, w); t1 = accumulate(t1, a.y, w);
    t2 = accumulate(t2, a.z, w); t3 = accumulate(t3, a.w, w);
    t4 = accumulate(t4, b.x, w); t5 = accumulate(t5, b.y, w);
    t6 = accumulate(t6, b.z, w); t7 = accumulate(t7, b.w, w);
    t8 = accumulate(t8, c.x, w); t9 = accumulate(t9, c.y, w);
    t10 = accumulate(t10, c.z, w); t11 = accumulate(t11, c.w, w);
    t12 = accumulate(t12, d.x, w); t13 = accumulate(t13, d.y, w);
    t14 = accumulate(t14, d.z, w); t15 = accumulate(t15, d.w, w);
  }
  let k = 4u * k_quad;
  store(k, quad, t0); store(k + 1u, quad, t1); store(k + 2u, quad, t2); store(k + 3u, quad, t3);
  store(k + 4u, quad, t4); store(k + 5u, quad, t5); store(k + 6u, quad, t6); store(k + 7u, quad, t7);
  store(k + 8u, quad, t8); store(k + 9u, quad, t9); store(k + 10u, quad, t10); store(k + 11u, quad, t11);
  store(k + 12u, quad, t12); store(k + 13u, quad, t13); store(k + 14u, quad, t14); store(k + 15u, quad, t15);
}
