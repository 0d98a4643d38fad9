// linear_dot8 — Y = X·Wᵀ + H·Bᵀ (+ residual) with X in eight bits: the prompt of a chat
// Operands: lib/rounded_operands.wgsl.
// Dispatch (⌈N/8/LANES⌉, ⌈M/8⌉, 1): an invocation owns 8 rows × 8 columns in named registers.
// Needs an operand_* and a codes_* prelude (bindings 0 and 1) and the rounded_* and factors_* ones. No workgroup
// memory, for the reason in linear.wgsl. The low-rank term is added last, from registers.

override LANES: u32 = 8;

struct Tile { left: vec4f, right: vec4f }

fn product(w: Codes, affine: Affine, x: Group) -> vec4f {
  return rescale(sum_group(w, x.lo, x.hi), affine, x.scale);
}

// Add the low-rank term of one rank: h of one row times b of eight columns.
fn add_rank(tile: Tile, value: f32, b_left: vec4f, b_right: vec4f) -> Tile {
  return Tile(tile.left + value * b_left, tile.right + value * b_right);
}

fn store_row(row: u32, quad: u32, tile: Tile) {
  store(row, quad, tile.left);
  store(row, quad + 1u, tile.right);
}

@compute @workgroup_size(LANES)
fn linear_dot8(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // No early return: past the end an invocation repeats the last columns, and store() drops them.
  let quad = 2u * id.x;
  let left = min(quad, params.quads - 1u);
  let right = min(quad + 1u, params.quads - 1u);
  let first = 8u * group.y;
  let rows = eight_rows(first, params.rows - 1u, params.groups);
  var t0 = Tile(); var t1 = Tile(); var t2 = Tile(); var t3 = Tile();
  var t4 = Tile(); var t5 = Tile(); var t6 = Tile(); var t7 = Tile();
  for (var g = 0u; g < params.groups; g++) {
    let x = load_groups(rows, g);
    let w_l = load_codes(g, left, params.quads);
    let affine_l = load_affine(g, left);
    t0.left += product(w_l, affine_l, x[0]); t1.left += product(w_l, affine_l, x[1]);
    t2.left += product(w_l, affine_l, x[2]); t3.left += product(w_l, affine_l, x[3]);
    t4.left += product(w_l, affine_l, x[4]); t5.left += product(w_l, affine_l, x[5]);
    t6.left += product(w_l, affine_l, x[6]); t7.left += product(w_l, affine_l, x[7]);
    let w_r = load_codes(g, right, params.quads);
    let affine_r = load_affine(g, right);
    t0.right += product(w_r, affine_r, x[0]); t1.right += product(w_r, affine_r, x[1]);
    t2.right += product(w_r, affine_r, x[2]); t3.right += product(w_r, affine_r, x[3]);
    t4.right += product(w_r, affine_r, x[4]); t5.right += product(w_r, affine_r, x[5]);
    t6.right += product(w_r, affine_r, x[6]); t7.right += product(w_r, affine_r, x[7]);
  }
  // Bounds of modules are multiples of eight: both quads are columns of one module.
  let start = hidden_start(left);
  for (var r = 0u; r < params.rank; r++) {
    let b_l = load_b(left, r);
    let b_r = load_b(right, r);
    t0 = add_rank(t0, load_h(first, start + r), b_l, b_r);
    t1 = add_rank(t1, load_h(first + 1u, start + r), b_l, b_r);
    t2 = add_rank(t2, load_h(first + 2u, start + r), b_l, b_r);
    t3 = add_rank(t3, load_h(first + 3u, start + r), b_l, b_r);
    t4 = add_rank(t4, load_h(first + 4u, start + r), b_l, b_r);
    t5 = add_rank(t5, load_h(first + 5u, start + r), b_l, b_r);
    t6 = add_rank(t6, load_h(first + 6u, start + r), b_l, b_r);
    t7 = add_rank(t7, load_h(first + 7u, start + r), b_l, b_r);
  }
  store_row(first, quad, t0); store_row(first + 1u, quad, t1);
  store_row(first + 2u, quad, t2); store_row(first + 3u, quad, t3);
  store_row(first + 4u, quad, t4); store_row(first + 5u, quad, t5);
  store_row(first + 6u, quad, t6); store_row(first + 7u, quad, t7);
}
