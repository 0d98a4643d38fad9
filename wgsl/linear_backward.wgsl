// linear_backward — dX = dY·W + G·A, the gradient through a frozen matrix and its adapter
// Operands: lib/backward_operands.wgsl. Reads the very buffer the forward reads: a word along K is
// eight neighbouring outputs.
// Dispatch (⌈K/16/LANES⌉, ⌈M/8⌉, 1): an invocation owns 8 rows × 16 columns in named registers.
// Needs a rows_* and a weights_* prelude (bindings 0 and 1) and the backward_* and factors_* ones.

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

// Add the low-rank term of one rank: g of one row times a of sixteen columns.
fn add_rank(tile: Tile, value: f32, w: Tile) -> Tile {
  return Tile(tile.a + value * w.a, tile.b + value * w.b, tile.c + value * w.c, tile.d + value * w.d);
}

// A[r] of two octets.
fn load_octets(r: u32, left: u32, right: u32) -> Tile {
  return Tile(load_a(r, 2u * left), load_a(r, 2u * left + 1u), load_a(r, 2u * right), load_a(r, 2u * right + 1u));
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
  let ranks = eight_rows(first, params.rows - 1u, params.ranks);
  for (var r = 0u; r < params.ranks; r++) {
    let w = load_octets(r, left, right);
    let value = load_values(ranks, r);
    t0 = add_rank(t0, value[0], w); t1 = add_rank(t1, value[1], w);
    t2 = add_rank(t2, value[2], w); t3 = add_rank(t3, value[3], w);
    t4 = add_rank(t4, value[4], w); t5 = add_rank(t5, value[5], w);
    t6 = add_rank(t6, value[6], w); t7 = add_rank(t7, value[7], w);
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
