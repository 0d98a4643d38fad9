// linear_backward_wide — dX = dY·W + G·A, as linear_backward.wgsl, with twice the rows an invocation
// Operands: lib/backward_operands.wgsl.
// Dispatch (⌈K/16/LANES⌉, ⌈M/16⌉, 1): an invocation owns 16 rows × 16 columns in named registers.
// Needs a rows_* and a weights_* prelude (bindings 0 and 1) and the backward_* and factors_* ones. For software
// adapters only, for the reasons in linear_wide.wgsl.

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

fn store_both(row: u32, octet: u32, tile: Tile) {
  store(row, octet, tile.a, tile.b);
  store(row, octet + 1u, tile.c, tile.d);
}

@compute @workgroup_size(LANES)
fn linear_backward_wide(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // No early return: past the end an invocation repeats the last columns, and store() drops them.
  let octet = 2u * id.x;
  let left = min(octet, params.octets - 1u);
  let right = min(octet + 1u, params.octets - 1u);
  let first = 16u * group.y;
  let low_rows = eight_rows(first, params.rows - 1u, params.quads);
  let high_rows = eight_rows(first + 8u, params.rows - 1u, params.quads);
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  var t8 = Tile(); var t9 = Tile(); var t10 = Tile(); var t11 = Tile();
  var t12 = Tile(); var t13 = Tile(); var t14 = Tile(); var t15 = Tile();
  for (var n = 0u; n < params.quads; n++) {
    let words_l = load_words(left, n, params.quads);
    let words_r = load_words(right, n, params.quads);
    // Octets 2i and 2i + 1 lie in one group of 32 and so share their scales.
    let scales = load_scales(left, n, params.quads);
    let low = load_rows(low_rows, n);
    let high = load_rows(high_rows, n);
    let w = array(
      dequantize(words_l, scales, 0u), dequantize(words_l, scales, 1u),
      dequantize(words_l, scales, 2u), dequantize(words_l, scales, 3u),
      dequantize(words_r, scales, 0u), dequantize(words_r, scales, 1u),
      dequantize(words_r, scales, 2u), dequantize(words_r, scales, 3u),
    );
    t0 = accumulate(t0, low[0], w); t1 = accumulate(t1, low[1], w);
    t2 = accumulate(t2, low[2], w); t3 = accumulate(t3, low[3], w);
    t4 = accumulate(t4, low[4], w); t5 = accumulate(t5, low[5], w);
    t6 = accumulate(t6, low[6], w); t7 = accumulate(t7, low[7], w);
    t8 = accumulate(t8, high[0], w); t9 = accumulate(t9, high[1], w);
    t10 = accumulate(t10, high[2], w); t11 = accumulate(t11, high[3], w);
    t12 = accumulate(t12, high[4], w); t13 = accumulate(t13, high[5], w);
    t14 = accumulate(t14, high[6], w); t15 = accumulate(t15, high[7], w);
  }
  let low_ranks = eight_rows(first, params.rows - 1u, params.ranks);
  let high_ranks = eight_rows(first + 8u, params.rows - 1u, params.ranks);
  for (var r = 0u; r < params.ranks; r++) {
    let w = load_octets(r, left, right);
    let low = load_values(low_ranks, r);
    let high = load_values(high_ranks, r);
    t0 = add_rank(t0, low[0], w); t1 = add_rank(t1, low[1], w);
    t2 = add_rank(t2, low[2], w); t3 = add_rank(t3, low[3], w);
    t4 = add_rank(t4, low[4], w); t5 = add_rank(t5, low[5], w);
    t6 = add_rank(t6, low[6], w); t7 = add_rank(t7, low[7], w);
    t8 = add_rank(t8, high[0], w); t9 = add_rank(t9, high[1], w);
    t10 = add_rank(t10, high[2], w); t11 = add_rank(t11, high[3], w);
    t12 = add_rank(t12, high[4], w); t13 = add_rank(t13, high[5], w);
    t14 = add_rank(t14, high[6], w); t15 = add_rank(t15, high[7], w);
  }
  store_both(first, octet, t0); store_both(first + 1u, octet, t1);
  store_both(first + 2u, octet, t2); store_both(first + 3u, octet, t3);
  store_both(first + 4u, octet, t4); store_both(first + 5u, octet, t5);
  store_both(first + 6u, octet, t6); store_both(first + 7u, octet, t7);
  store_both(first + 8u, octet, t8); store_both(first + 9u, octet, t9);
  store_both(first + 10u, octet, t10); store_both(first + 11u, octet, t11);
  store_both(first + 12u, octet, t12); store_both(first + 13u, octet, t13);
  store_both(first + 14u, octet, t14); store_both(first + 15u, octet, t15);
}
