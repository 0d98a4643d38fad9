// swiglu_hidden — swiglu.wgsl, and the narrow side of the projection that reads its result
// y = silu(gate) · up,  silu(g) = g / (1 + e^−g),  h = scaling · y·Aᵀ
// gate_up (M, 2·F), gate first · factors: A (R, F) → y (M, F), h (M, R), f32; F and R multiples of 4
// Dispatch (⌈M/ROWS⌉, 1, 1): a workgroup owns ROWS rows; its invocations share the columns.
// Needs a low_rank_* and a factors_* prelude. Later ranks read y back, each invocation what it wrote itself.

@group(0) @binding(0) var<storage, read> gate_up: array<vec4f>;
@group(0) @binding(1) var<storage, read> factors: array<Factor>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,     // F / 4
  ranks: u32,     // R
  scaling: f32,
}

const STEEPEST = vec4f(-80.0);   // e^80 is still finite in f32; silu is zero long before

fn write_hidden(index: u32, value: f32) { h[index] = params.scaling * value; }

fn load_a(rank: u32, k: u32) -> mat4x4f {
  return a_block(rank, k, params.quads, params.ranks);
}

// y of four columns of the row that begins at `start`.
fn activate(start: u32, k: u32) -> vec4f {
  let gate = gate_up[2u * start + k];
  let value = gate / (1.0 + exp(-max(gate, STEEPEST))) * gate_up[2u * start + params.quads + k];
  y[start + k] = value;
  return value;
}

@compute @workgroup_size(LANES)
fn swiglu_hidden(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: the activation; the first four ranks.
  let first = ROWS * group.x;
  let at = row_starts(first, params.rows, params.quads);
  var hidden = Rows();
  for (var k = lane; k < params.quads; k += LANES) {
    var rows = Rows();
    rows.r0 = activate(at.x, k);
    if (ROWS > 1u) { rows.r1 = activate(at.y, k); rows.r2 = activate(at.z, k); rows.r3 = activate(at.w, k); }
    hidden = add_a(hidden, rows, load_a(0u, k));
  }
  write_sums(hidden, lane, first, params.rows, params.ranks, 0u);

  // Phase 2: the other ranks.
  for (var rank = 4u; rank < params.ranks; rank += 4u) {
    hidden = Rows();
    for (var k = lane; k < params.quads; k += LANES) {
      var rows = Rows();
      rows.r0 = y[at.x + k];
      if (ROWS > 1u) { rows.r1 = y[at.y + k]; rows.r2 = y[at.z + k]; rows.r3 = y[at.w + k]; }
      hidden = add_a(hidden, rows, load_a(rank, k));
    }
    write_sums(hidden, lane, first, params.rows, params.ranks, rank);
  }
}
