// linear_backward — dX = dY·W + G·A, the gradient through a frozen matrix and its adapter
// dy (M, N) · W (N, K) packed · g (M, R) = scaling·dY·B · a (R, K) → dx (M, K), f32
// Reads the very buffer the forward reads: a word along K is eight neighbouring outputs.
// Dispatch (⌈K/16/LANES⌉, ⌈M/8⌉, 1): an invocation owns 8 rows × 16 columns in named registers.
// Needs a rows_* and a weights_* prelude (bindings 0 and 1). R counts the ranks of all stacked modules.

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

fn read_row(index: u32) -> vec4f { return dy[index]; }

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

// Add the low-rank term of one rank: a of sixteen columns times g of one row.
fn add_rank(tile: Tile, index: u32, w: Tile) -> Tile {
  let value = g[index];
  return Tile(tile.a + value * w.a, tile.b + value * w.b, tile.c + value * w.c, tile.d + value * w.d);
}

fn store(row: u32, octet: u32, lo: vec4f, hi: vec4f) {
  if (row >= params.rows || octet >= params.octets) { return; }
  let index = 2u * (row * params.octets + octet);
  dx[index] = lo;
  dx[index + 1u] = hi;
}

@compute @workgroup_size(LANES)
fn linear_backward(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // No early return: past the end an invocation repeats the last columns, and store() drops them.
  let octet = 2u * id.x;
  let left = min(octet, params.octets - 1u);
  let right = min(octet + 1u, params.octets - 1u);
  let first = 8u * group.y;
  let rows = eight_rows(first, params.rows - 1u, params.quads);
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  for (var n = 0u; n < params.quads; n++) {
    let words_l = load_words(left, n, params.quads);
    let words_r = load_words(right, n, params.quads);
    // Octets 2i and 2i + 1 lie in one group of 32 and so share their scales.
    let scales = load_scales(left, n, params.quads);
    let w = array(
      dequantize(words_l, scales, 0u), dequantize(words_l, scales, 1u),
      dequantize(words_l, scales, 2u), dequantize(words_l, scales, 3u),
      dequantize(words_r, scales, 0u), dequantize(words_r, scales, 1u),
      dequantize(words_r, scales, 2u), dequantize(words_r, scales, 3u),
    );
    let d = load_rows(rows, n);
    t0 = accumulate(t0, d[0], w); t1 = accumulate(t1, d[1], w);
    t2 = accumulate(t2, d[2], w); t3 = accumulate(t3, d[3], w);
    t4 = accumulate(t4, d[4], w); t5 = accumulate(t5, d[5], w);
    t6 = accumulate(t6, d[6], w); t7 = accumulate(t7, d[7], w);
  }
  let last = params.rows - 1u;
  for (var r = 0u; r < params.ranks; r++) {
    let start = 2u * r * params.octets;
    let w = Tile(a[start + 2u * left], a[start + 2u * left + 1u], a[start + 2u * right], a[start + 2u * right + 1u]);
    t0 = add_rank(t0, min(first, last) * params.ranks + r, w);
    t1 = add_rank(t1, min(first + 1u, last) * params.ranks + r, w);
    t2 = add_rank(t2, min(first + 2u, last) * params.ranks + r, w);
    t3 = add_rank(t3, min(first + 3u, last) * params.ranks + r, w);
    t4 = add_rank(t4, min(first + 4u, last) * params.ranks + r, w);
    t5 = add_rank(t5, min(first + 5u, last) * params.ranks + r, w);
    t6 = add_rank(t6, min(first + 6u, last) * params.ranks + r, w);
    t7 = add_rank(t7, min(first + 7u, last) * params.ranks + r, w);
  }
  store(first, octet, t0.a, t0.b); store(first, octet + 1u, t0.c, t0.d);
  store(first + 1u, octet, t1.a, t1.b); store(first + 1u, octet + 1u, t1.c, t1.d);
  store(first + 2u, octet, t2.a, t2.b); store(first + 2u, octet + 1u, t2.c, t2.d);
  store(first + 3u, octet, t3.a, t3.b); store(first + 3u, octet + 1u, t3.c, t3.d);
  store(first + 4u, octet, t4.a, t4.b); store(first + 4u, octet + 1u, t4.c, t4.d);
  store(first + 5u, octet, t5.a, t5.b); store(first + 5u, octet + 1u, t5.c, t5.d);
  store(first + 6u, octet, t6.a, t6.b); store(first + 6u, octet + 1u, t6.c, t6.d);
  store(first + 7u, octet, t7.a, t7.b); store(first + 7u, octet + 1u, t7.c, t7.d);
}
