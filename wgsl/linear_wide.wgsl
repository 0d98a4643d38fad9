// linear_wide — Y = X·Wᵀ + H·Bᵀ (+ residual), as linear.wgsl, with twice the rows an invocation
// Operands: lib/forward_operands.wgsl.
// Dispatch (⌈N/8/LANES⌉, ⌈M/16⌉, 1): an invocation owns 16 rows × 8 columns in named registers.
// Needs a rows_* and a weights_* prelude (bindings 0 and 1) and the forward_* and factors_* ones. For software
// adapters, where loads are dear and registers are memory anyway; on a GPU these would spill. The
// loop's code must stay below about 24 KB there, or a processor decodes it anew each time: larger
// tiles and unrolled ones are slower.

override LANES: u32 = 8;

struct Tile { left: vec4f, right: vec4f }

// Add the products of one octet of x with eight columns.
fn accumulate(tile: Tile, lo: vec4f, hi: vec4f, w: array<Octet, 8>) -> Tile {
  return Tile(
    tile.left + vec4f(
      dot(lo, w[0].lo) + dot(hi, w[0].hi), dot(lo, w[1].lo) + dot(hi, w[1].hi),
      dot(lo, w[2].lo) + dot(hi, w[2].hi), dot(lo, w[3].lo) + dot(hi, w[3].hi),
    ),
    tile.right + vec4f(
      dot(lo, w[4].lo) + dot(hi, w[4].hi), dot(lo, w[5].lo) + dot(hi, w[5].hi),
      dot(lo, w[6].lo) + dot(hi, w[6].hi), dot(lo, w[7].lo) + dot(hi, w[7].hi),
    ),
  );
}

// Add the low-rank term of one rank: h of one row times b of eight columns.
fn add_rank(tile: Tile, value: f32, b_left: vec4f, b_right: vec4f) -> Tile {
  return Tile(tile.left + value * b_left, tile.right + value * b_right);
}

// Store eight rows with their low-rank terms. Eight at a time: a larger frame makes longer code.
fn finish(first: u32, quad: u32, left: u32, right: u32, t: array<Tile, 8>) {
  // Bounds of modules are multiples of eight: both quads are columns of one module.
  let start = hidden_start(left);
  var p0 = Tile(); var p1 = Tile(); var p2 = Tile(); var p3 = Tile();
  var p4 = Tile(); var p5 = Tile(); var p6 = Tile(); var p7 = Tile();
  for (var r = 0u; r < params.rank; r++) {
    let b_l = load_b(left, r);
    let b_r = load_b(right, r);
    p0 = add_rank(p0, load_h(first, start + r), b_l, b_r);
    p1 = add_rank(p1, load_h(first + 1u, start + r), b_l, b_r);
    p2 = add_rank(p2, load_h(first + 2u, start + r), b_l, b_r);
    p3 = add_rank(p3, load_h(first + 3u, start + r), b_l, b_r);
    p4 = add_rank(p4, load_h(first + 4u, start + r), b_l, b_r);
    p5 = add_rank(p5, load_h(first + 5u, start + r), b_l, b_r);
    p6 = add_rank(p6, load_h(first + 6u, start + r), b_l, b_r);
    p7 = add_rank(p7, load_h(first + 7u, start + r), b_l, b_r);
  }
  store(first, quad, t[0].left + p0.left); store(first, quad + 1u, t[0].right + p0.right);
  store(first + 1u, quad, t[1].left + p1.left); store(first + 1u, quad + 1u, t[1].right + p1.right);
  store(first + 2u, quad, t[2].left + p2.left); store(first + 2u, quad + 1u, t[2].right + p2.right);
  store(first + 3u, quad, t[3].left + p3.left); store(first + 3u, quad + 1u, t[3].right + p3.right);
  store(first + 4u, quad, t[4].left + p4.left); store(first + 4u, quad + 1u, t[4].right + p4.right);
  store(first + 5u, quad, t[5].left + p5.left); store(first + 5u, quad + 1u, t[5].right + p5.right);
  store(first + 6u, quad, t[6].left + p6.left); store(first + 6u, quad + 1u, t[6].right + p6.right);
  store(first + 7u, quad, t[7].left + p7.left); store(first + 7u, quad + 1u, t[7].right + p7.right);
}

@compute @workgroup_size(LANES)
fn linear_wide(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // No early return: past the end an invocation repeats the last columns, and store() drops them.
  let quad = 2u * id.x;
  let left = min(quad, params.quads - 1u);
  let right = min(quad + 1u, params.quads - 1u);
  let first = 16u * group.y;
  let low_rows = eight_rows(first, params.rows - 1u, 2u * params.octets);
  let high_rows = eight_rows(first + 8u, params.rows - 1u, 2u * params.octets);
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  var t8 = Tile(); var t9 = Tile(); var t10 = Tile(); var t11 = Tile();
  var t12 = Tile(); var t13 = Tile(); var t14 = Tile(); var t15 = Tile();
  var scales_l = Scales();
  var scales_r = Scales();
  for (var octet = 0u; octet < params.octets; octet++) {
    let words_l = load_words(octet, left, params.quads);
    let words_r = load_words(octet, right, params.quads);
    if ((octet & 3u) == 0u) {
      scales_l = load_scales(octet, left, params.quads);
      scales_r = load_scales(octet, right, params.quads);
    }
    let low_lo = load_rows(low_rows, 2u * octet);
    let low_hi = load_rows(low_rows, 2u * octet + 1u);
    let high_lo = load_rows(high_rows, 2u * octet);
    let high_hi = load_rows(high_rows, 2u * octet + 1u);
    let w = array(
      dequantize(words_l, scales_l, 0u), dequantize(words_l, scales_l, 1u),
      dequantize(words_l, scales_l, 2u), dequantize(words_l, scales_l, 3u),
      dequantize(words_r, scales_r, 0u), dequantize(words_r, scales_r, 1u),
      dequantize(words_r, scales_r, 2u), dequantize(words_r, scales_r, 3u),
    );
    t0 = accumulate(t0, low_lo[0], low_hi[0], w);
    t1 = accumulate(t1, low_lo[1], low_hi[1], w);
    t2 = accumulate(t2, low_lo[2], low_hi[2], w);
    t3 = accumulate(t3, low_lo[3], low_hi[3], w);
    t4 = accumulate(t4, low_lo[4], low_hi[4], w);
    t5 = accumulate(t5, low_lo[5], low_hi[5], w);
    t6 = accumulate(t6, low_lo[6], low_hi[6], w);
    t7 = accumulate(t7, low_lo[7], low_hi[7], w);
    t8 = accumulate(t8, high_lo[0], high_hi[0], w);
    t9 = accumulate(t9, high_lo[1], high_hi[1], w);
    t10 = accumulate(t10, high_lo[2], high_hi[2], w);
    t11 = accumulate(t11, high_lo[3], high_hi[3], w);
    t12 = accumulate(t12, high_lo[4], high_hi[4], w);
    t13 = accumulate(t13, high_lo[5], high_hi[5], w);
    t14 = accumulate(t14, high_lo[6], high_hi[6], w);
    t15 = accumulate(t15, high_lo[7], high_hi[7], w);
  }
  finish(first, quad, left, right, array(t0, t1, t2, t3, t4, t5, t6, t7));
  finish(first + 8u, quad, left, right, array(t8, t9, t10, t11, t12, t13, t14, t15));
}
