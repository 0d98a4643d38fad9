// linear_dot8_tile — Y = X·Wᵀ + H·Bᵀ (+ residual) with X in eight bits, on a GPU
// Operands: lib/rounded_operands.wgsl; it equals linear_dot8.wgsl up to the order of summation.
// Dispatch (⌈N/64⌉, ⌈M/8/OCTETS⌉, 1): a workgroup of 16·OCTETS invocations owns 64 columns of
// 8·OCTETS rows, and an invocation 8 rows × 4 columns in named registers.
// Needs a codes_* prelude (bindings 0 and 1) and the rounded_* and factors_* ones.
// Each group of 32 goes through workgroup memory, words first, so that one read there has a word of
// four columns, or of four rows: 64 rows and columns of a group are 4 KiB and half a KiB of scales.

override OCTETS: u32 = 8;

const QUADS = 16u;   // of a workgroup's columns
const WORDS = 8u;    // of a group

var<workgroup> tile_w: array<vec4u, WORDS * QUADS>;
var<workgroup> tile_x: array<vec4u, WORDS * 2u * OCTETS>;
var<workgroup> tile_scales: array<vec2f, 8u * OCTETS>;

// Word `word` of a group of one row; past the last row that of the last.
fn row_code(row: u32, g: u32, word: u32) -> u32 {
  return codes[2u * (min(row, params.rows - 1u) * params.groups + g) + word / 4u][word % 4u];
}

@compute @workgroup_size(16u * OCTETS)
fn linear_dot8_tile(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // No early return before a barrier: past the end an invocation repeats the last rows and columns.
  let quad = group.x * QUADS + lane % QUADS;
  let octet = lane / QUADS;
  let first = group.y * 8u * OCTETS;
  let last_quad = params.quads - 1u;
  let row = first + 8u * octet;
  var t0 = vec4f(); var t1 = vec4f(); var t2 = vec4f(); var t3 = vec4f();
  var t4 = vec4f(); var t5 = vec4f(); var t6 = vec4f(); var t7 = vec4f();
  for (var g = 0u; g < params.groups; g++) {
    // Phase 1: one word of four rows each, their scales, and the words of the columns.
    let word = lane % WORDS;
    let four = first + 4u * (lane / WORDS);
    tile_x[word * 2u * OCTETS + lane / WORDS] = vec4u(
      row_code(four, g, word), row_code(four + 1u, g, word),
      row_code(four + 2u, g, word), row_code(four + 3u, g, word),
    );
    if (lane < 8u * OCTETS) {
      tile_scales[lane] = code_scales[min(first + lane, params.rows - 1u) * params.groups + g];
    }
    for (var index = lane; index < WORDS * QUADS; index += 16u * OCTETS) {
      let column = min(group.x * QUADS + index % QUADS, last_quad);
      tile_w[index] = load_code(g, index / QUADS, column, params.quads);
    }
    workgroupBarrier();

    // Phase 2: integers over the group, then f32.
    var s0 = vec4i(); var s1 = vec4i(); var s2 = vec4i(); var s3 = vec4i();
    var s4 = vec4i(); var s5 = vec4i(); var s6 = vec4i(); var s7 = vec4i();
    for (var k = 0u; k < WORDS; k++) {
      let w = tile_w[k * QUADS + lane % QUADS];
      let upper = tile_x[2u * (k * OCTETS + octet)];
      let lower = tile_x[2u * (k * OCTETS + octet) + 1u];
      s0 += dots(w, upper.x); s1 += dots(w, upper.y); s2 += dots(w, upper.z); s3 += dots(w, upper.w);
      s4 += dots(w, lower.x); s5 += dots(w, lower.y); s6 += dots(w, lower.z); s7 += dots(w, lower.w);
    }
    let affine = load_affine(g, min(quad, last_quad));
    let at = 8u * octet;
    t0 += rescale(s0, affine, tile_scales[at]); t1 += rescale(s1, affine, tile_scales[at + 1u]);
    t2 += rescale(s2, affine, tile_scales[at + 2u]); t3 += rescale(s3, affine, tile_scales[at + 3u]);
    t4 += rescale(s4, affine, tile_scales[at + 4u]); t5 += rescale(s5, affine, tile_scales[at + 5u]);
    t6 += rescale(s6, affine, tile_scales[at + 6u]); t7 += rescale(s7, affine, tile_scales[at + 7u]);
    workgroupBarrier();
  }
  let column = min(quad, last_quad);
  let start = hidden_start(column);
  for (var r = 0u; r < params.rank; r++) {
    let b_r = load_b(column, r);
    t0 += load_h(row, start + r) * b_r;
    t1 += load_h(row + 1u, start + r) * b_r;
    t2 += load_h(row + 2u, start + r) * b_r;
    t3 += load_h(row + 3u, start + r) * b_r;
    t4 += load_h(row + 4u, start + r) * b_r;
    t5 += load_h(row + 5u, start + r) * b_r;
    t6 += load_h(row + 6u, start + r) * b_r;
    t7 += load_h(row + 7u, start + r) * b_r;
  }
  store(row, quad, t0); store(row + 1u, quad, t1); store(row + 2u, quad, t2); store(row + 3u, quad, t3);
  store(row + 4u, quad, t4); store(row + 5u, quad, t5); store(row + 6u, quad, t6); store(row + 7u, quad, t7);
}
