// linear — Y = X·Wᵀ + H·Bᵀ (+ residual), the forward product with a frozen matrix and its adapter
// x (M, K) · W (N, K) packed · h (M, MODULES·RANK) = scaling·X·Aᵀ · b (N, RANK) → y (M, N), f32
// Rows of W may be several modules stacked (q|k|v); row n reads the columns of h of its module.
// Dispatch (⌈N/8/LANES⌉, ⌈M/8⌉, 1): an invocation owns 8 rows × 8 columns in named registers.
// Needs a weights_* prelude (bindings 0 and 1). No workgroup memory: neighbouring invocations read
// neighbouring words, and x is the same for all of a workgroup. The low-rank term is added last,
// from registers, so that it costs no pass over Y.

@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,          // N / 4
  octets: u32,         // K / 8
  rank: u32,           // 0: no adapter
  modules: u32,
  first_bound: u32,    // rows of W before the second module
  second_bound: u32,   // rows of W before the third module
  has_residual: u32,
}

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

fn adapter(row: u32, column: u32) -> vec4f {
  let stack = select(0u, 1u, column >= params.first_bound) + select(0u, 1u, column >= params.second_bound);
  let h_start = (row * params.modules + stack) * params.rank;
  var sum = vec4f();
  for (var r = 0u; r < params.rank; r++) {
    let b_start = column * params.rank + r;
    sum += h[h_start + r] * vec4f(
      b[b_start], b[b_start + params.rank], b[b_start + 2u * params.rank], b[b_start + 3u * params.rank],
    );
  }
  return sum;
}

fn store(row: u32, quad: u32, value: vec4f) {
  if (row >= params.rows || quad >= params.quads) { return; }
  let index = row * params.quads + quad;
  var total = value;
  if (params.rank > 0u) { total += adapter(row, 4u * quad); }
  if (params.has_residual > 0u) { total += residual[index]; }
  y[index] = total;
}

@compute @workgroup_size(LANES)
fn linear(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let left = 2u * id.x;
  if (left >= params.quads) { return; }
  let right = min(left + 1u, params.quads - 1u);
  let first = 8u * group.y;
  // Rows past the end repeat the last one; store() drops them.
  let last = params.rows - 1u;
  let width = 2u * params.octets;
  let s0 = min(first, last) * width; let s1 = min(first + 1u, last) * width;
  let s2 = min(first + 2u, last) * width; let s3 = min(first + 3u, last) * width;
  let s4 = min(first + 4u, last) * width; let s5 = min(first + 5u, last) * width;
  let s6 = min(first + 6u, last) * width; let s7 = min(first + 7u, last) * width;
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
    let k = 2u * octet;
    t0 = accumulate(t0, x[s0 + k], x[s0 + k + 1u], w); t1 = accumulate(t1, x[s1 + k], x[s1 + k + 1u], w);
    t2 = accumulate(t2, x[s2 + k], x[s2 + k + 1u], w); t3 = accumulate(t3, x[s3 + k], x[s3 + k + 1u], w);
    t4 = accumulate(t4, x[s4 + k], x[s4 + k + 1u], w); t5 = accumulate(t5, x[s5 + k], x[s5 + k + 1u], w);
    t6 = accumulate(t6, x[s6 + k], x[s6 + k + 1u], w); t7 = accumulate(t7, x[s7 + k], x[s7 + k + 1u], w);
  }
  store(first, left, t0.left); store(first + 1u, left, t1.left);
  store(first + 2u, left, t2.left); store(first + 3u, left, t3.left);
  store(first + 4u, left, t4.left); store(first + 5u, left, t5.left);
  store(first + 6u, left, t6.left); store(first + 7u, left, t7.left);
  if (right == left) { return; }
  store(first, right, t0.right); store(first + 1u, right, t1.right);
  store(first + 2u, right, t2.right); store(first + 3u, right, t3.right);
  store(first + 4u, right, t4.right); store(first + 5u, right, t5.right);
  store(first + 6u, right, t6.right); store(first + 7u, right, t7.right);
}
