// rope_backward_hidden — rotate gradients back as rope.wgsl does, in place, and g = scaling · dx·B
// x (M, STRIDE), q | k | v, whose first ROTATED columns are rotated · positions (M)
// table (positions, D/2) of (cos, sin) · factors: B (STRIDE, RANK) → g (M, MODULES·RANK), f32
// RANK is a multiple of 4; every module is whole heads. Dispatch (⌈M/ROWS⌉, MODULES, 1): a
// workgroup owns ROWS rows of one module. Needs a low_rank_* and a factors_* prelude. Later ranks read x
// back, each invocation what it wrote itself.

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<vec4f>;
@group(0) @binding(2) var<storage, read> factors: array<Factor>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> g: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

struct Params {
  rows: u32,
  stride: u32,         // vec4s of a row
  rotated: u32,        // of them the first that are rotated
  half: u32,           // D / 8, vec4s of half a head
  first_bound: u32,    // columns before the second module
  second_bound: u32,   // columns before the third module
  rank: u32,
  modules: u32,
  scaling: f32,
}

// Two halves of a head: four pairs.
struct Pairs { low: vec4f, high: vec4f }

fn write_hidden(index: u32, value: f32) { g[index] = params.scaling * value; }

fn load_b(rank: u32, k: u32, first: u32) -> mat4x4f {
  return b_block(rank, k, params.stride, params.rank, first);
}

fn load_pairs(row: u32, k: u32, i: u32, is_rotating: bool) -> Pairs {
  let at = row * params.stride + k;
  let low = x[at];
  let high = x[at + params.half];
  if (!is_rotating) { return Pairs(low, high); }
  let turn = 2u * (positions[row] * params.half + i);
  let even = table[turn];
  let odd = table[turn + 1u];
  let cosine = vec4f(even.xz, odd.xz);
  let sine = vec4f(even.yw, odd.yw);
  return Pairs(low * cosine + high * sine, high * cosine - low * sine);
}

fn store_pairs(row: u32, k: u32, pairs: Pairs) {
  let at = row * params.stride + k;
  x[at] = pairs.low;
  x[at + params.half] = pairs.high;
}

@compute @workgroup_size(LANES)
fn rope_backward_hidden(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  let bounds = vec4u(0u, params.first_bound, params.second_bound, 4u * params.stride) / 4u;
  let start = min(bounds[group.y], params.stride);
  let stop = min(bounds[group.y + 1u], params.stride);
  let ranks_before = group.y * params.rank;
  let first = ROWS * group.x;
  let row = row_starts(first, params.rows, 1u);
  for (var rank = 0u; rank < params.rank; rank += 4u) {
    let is_rotating = rank == 0u && start < params.rotated;
    var hidden = Rows();
    for (var pair = lane; pair < (stop - start) / 2u; pair += LANES) {
      let i = pair % params.half;
      let k = start + 2u * (pair - i) + i;
      // All rows are loaded before any is stored: rows past the end are the last one again.
      var p0 = load_pairs(row.x, k, i, is_rotating);
      var p1 = Pairs(); var p2 = Pairs(); var p3 = Pairs();
      if (ROWS > 1u) {
        p1 = load_pairs(row.y, k, i, is_rotating);
        p2 = load_pairs(row.z, k, i, is_rotating);
        p3 = load_pairs(row.w, k, i, is_rotating);
      }
      if (is_rotating) {
        store_pairs(row.x, k, p0);
        if (ROWS > 1u) { store_pairs(row.y, k, p1); store_pairs(row.z, k, p2); store_pairs(row.w, k, p3); }
      }
      hidden = add_b(hidden, Rows(p0.low, p1.low, p2.low, p3.low), load_b(rank, k, ranks_before));
      hidden = add_b(
        hidden, Rows(p0.high, p1.high, p2.high, p3.high), load_b(rank, k + params.half, ranks_before)
      );
    }
    write_sums(hidden, lane, first, params.rows, params.modules * params.rank, ranks_before + rank);
  }
}
