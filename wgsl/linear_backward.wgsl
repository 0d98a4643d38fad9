// linear_backward — dX = dY·W + G·A, the gradient through a frozen matrix and its adapter
// dy (M, N) · W (N, K) packed · g (M, R) = scaling·dY·B · a (R, K) → dx (M, K), f32
// Reads the very buffer the forward reads: a word along K is eight neighbouring outputs.
// Dispatch (⌈K/16/LANES⌉, ⌈M/8⌉, 1): an invocation owns 8 rows × 16 columns in named registers.
// Needs a weights_* prelude (bindings 0 and 1). R counts the ranks of all stacked modules.

@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> a: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,    // N / 4
  octets: u32,   // K / 8
  ranks: u32,    // 0: no adapter
}

override LANES: u32 = 8;

struct Tile { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// Add the products of four rows of W with four elements of one row of dy.
fn accumulate(tile: Tile, d: vec4f, w: array<Octet, 8>) -> Tile {
  return Tile(
    tile.a + d.x * w[0].lo + d.y * w[1].lo + d.z * w[2].lo + d.w * w[3].lo,
    tile.b + d.x * w[0].hi + d.y * w[1].hi + d.z * w[2].hi + d.w * w[3].hi,
    tile.c + d.x * w[4].lo + d.y * w[5].lo + d.z * w[6].lo + d.w * w[7].lo,
    tile.d + d.x * w[4].hi + d.y * w[5].hi + d.z * w[6].hi + d.w * w[7].hi,
  );
}

fn store(row: u32, octet: u32, lo: vec4f, hi: vec4f) {
  if (row >= params.rows || octet >= params.octets) { return; }
  let width = 2u * params.octets;
  var sum_lo = lo;
  var sum_hi = hi;
  for (var r = 0u; r < params.ranks; r++) {
    let scale = g[row * params.ranks + r];
    sum_lo += scale * a[r * width + 2u * octet];
    sum_hi += scale * a[r * width + 2u * octet + 1u];
  }
  dx[row * width + 2u * octet] = sum_lo;
  dx[row * width + 2u * octet + 1u] = sum_hi;
}

@compute @workgroup_size(LANES)
fn linear_backward(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let left = 2u * id.x;
  if (left >= params.octets) { return; }
  let right = min(left + 1u, params.octets - 1u);
  let first = 8u * group.y;
  // Rows past the end repeat the last one; store() drops them.
  let last = params.rows - 1u;
  let s0 = min(first, last) * params.quads; let s1 = min(first + 1u, last) * params.quads;
  let s2 = min(first + 2u, last) * params.quads; let s3 = min(first + 3u, last) * params.quads;
  let s4 = min(first + 4u, last) * params.quads; let s5 = min(first + 5u, last) * params.quads;
  let s6 = min(first + 6u, last) * params.quads; let s7 = min(first + 7u, last) * params.quads;
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  for (var n = 0u; n < params.quads; n++) {
    let words_l = load_words(left, n, params.quads);
    let words_r = load_words(right, n, params.quads);
    let scales_l = load_scales(left, n, params.quads);
    let scales_r = load_scales(right, n, params.quads);
    let w = array(
      dequantize(words_l, scales_l, 0u), dequantize(words_l, scales_l, 1u),
      dequantize(words_l, scales_l, 2u), dequantize(words_l, scales_l, 3u),
      dequantize(words_r, scales_r, 0u), dequantize(words_r, scales_r, 1u),
      dequantize(words_r, scales_r, 2u), dequantize(words_r, scales_r, 3u),
    );
    t0 = accumulate(t0, dy[s0 + n], w); t1 = accumulate(t1, dy[s1 + n], w);
    t2 = accumulate(t2, dy[s2 + n], w); t3 = accumulate(t3, dy[s3 + n], w);
    t4 = accumulate(t4, dy[s4 + n], w); t5 = accumulate(t5, dy[s5 + n], w);
    t6 = accumulate(t6, dy[s6 + n], w); t7 = accumulate(t7, dy[s7 + n], w);
  }
  store(first, left, t0.a, t0.b); store(first + 1u, left, t1.a, t1.b);
  store(first + 2u, left, t2.a, t2.b); store(first + 3u, left, t3.a, t3.b);
  store(first + 4u, left, t4.a, t4.b); store(first + 5u, left, t5.a, t5.b);
  store(first + 6u, left, t6.a, t6.b); store(first + 7u, left, t7.a, t7.b);
  if (right == left) { return; }
  store(first, right, t0.c, t0.d); store(first + 1u, right, t1.c, t1.d);
  store(first + 2u, right, t2.c, t2.d); store(first + 3u, right, t3.c, t3.d);
  store(first + 4u, right, t4.c, t4.d); store(first + 5u, right, t5.c, t5.d);
  store(first + 6u, right, t6.c, t6.d); store(first + 7u, right, t7.c, t7.d);
}
