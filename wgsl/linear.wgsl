// linear — Y = X·Wᵀ + H·Bᵀ (+ residual), the forward product with a frozen matrix and its adapter
// Operands: lib/forward_operands.wgsl.
// Dispatch (⌈N/8/LANES⌉, ⌈M/8⌉, 1): an invocation owns 8 rows × 8 columns in named registers.
// Needs a rows_* and a weights_* prelude (bindings 0 and 1) and the forward_* and factors_* ones. No workgroup
// memory: neighbouring invocations read neighbouring words, and x is the same for all of a
// workgroup. The low-rank term is added last, from registers, so that it costs no pass over Y.

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

@compute @workgroup_size(LANES)
fn linear(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // No early return: past the end an invocation repeats the last columns, and store() drops them.
  let quad = 2u * id.x;
  let left = min(quad, params.quads - 1u);
  let right = min(quad + 1u, params.quads - 1u);
  let first = 8u * group.y;
  let rows = eight_rows(first, params.rows - 1u, 2u * params.octets);
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  for (var octet = 0u; octet < params.octets; octet++) {
    let words_l = load_words(octet, left, params.quads);
    let words_r = load_words(octet, right, params.quads);
    let scales_l = load_scales(octet, left, params.quads);
    let scales_r = load_scales(octet, right, params.quads);
    let w = array(
      dequantize(words_l, scales_l, 0u), dequantize(words_l, scales_l, 1u),
      dequantize(words_l, scales_l, 2u), dequantize(words_l, scales_l, 3u),
      dequantize(words_r, scales_r, 0u), dequantize(words_r, scales_r, 1u),
      dequantize(words_r, scales_r, 2u), dequantize(words_r, scales_r, 3u),
    );
    let lo = load_rows(rows, 2u * octet);
    let hi = load_rows(rows, 2u * octet + 1u);
    t0 = accumulate(t0, lo[0], hi[0], w); t1 = accumulate(t1, lo[1], hi[1], w);
    t2 = accumulate(t2, lo[2], hi[2], w); t3 = accumulate(t3, lo[3], hi[3], w);
    t4 = accumulate(t4, lo[4], hi[4], w); t5 = accumulate(t5, lo[5], hi[5], w);
    t6 = accumulate(t6, lo[6], hi[6], w); t7 = accumulate(t7, lo[7], hi[7], w);
  }
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
  store(first, quad, t0.left + p0.left); store(first, quad + 1u, t0.right + p0.right);
  store(first + 1u, quad, t1.left + p1.left); store(first + 1u, quad + 1u, t1.right + p1.right);
  store(first + 2u, quad, t2.left + p2.left); store(first + 2u, quad + 1u, t2.right + p2.right);
  store(first + 3u, quad, t3.left + p3.left); store(first + 3u, quad + 1u, t3.right + p3.right);
  store(first + 4u, quad, t4.left + p4.left); store(first + 4u, quad + 1u, t4.right + p4.right);
  store(first + 5u, quad, t5.left + p5.left); store(first + 5u, quad + 1u, t5.right + p5.right);
  store(first + 6u, quad, t6.left + p6.left); store(first + 6u, quad + 1u, t6.right + p6.right);
  store(first + 7u, quad, t7.left + p7.left); store(first + 7u, quad + 1u, t7.right + p7.right);
}
