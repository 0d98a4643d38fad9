// swiglu_backward_hidden — swiglu_backward.wgsl, and the narrow sides of gate and up
// dgate = dy · up · σ(gate)·(1 + gate·(1 − σ(gate))),  dup = dy · silu(gate)
// g = scaling · (dgate·B₀ | dup·B₁)
// dy (M, F), gate_up (M, 2·F), factors: B (2·F, RANK) → d_gate_up (M, 2·F), g (M, 2·RANK), f32
// F and RANK are multiples of 4. Dispatch (⌈M/ROWS⌉, 1, 1): a workgroup owns ROWS rows.
// Needs a low_rank_* and a factors_* prelude. Later ranks read d_gate_up back, each invocation its own writes.

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4f>;
@group(0) @binding(2) var<storage, read> factors: array<Factor>;
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> g: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,     // F / 4
  rank: u32,
  scaling: f32,
}

const STEEPEST = vec4f(-80.0);   // e^80 is still finite in f32; silu is zero long before

struct Pair { gate: vec4f, up: vec4f }

fn write_hidden(index: u32, value: f32) { g[index] = params.scaling * value; }

fn load_b(rank: u32, k: u32) -> mat4x4f {
  return b_block(rank, k, 2u * params.quads, params.rank, select(0u, params.rank, k >= params.quads));
}

// The gradients of four gates and ups of the row that begins at `start`.
fn gradient(start: u32, k: u32) -> Pair {
  let at = 2u * start + k;
  let gate = gate_up[at];
  let sigmoid = 1.0 / (1.0 + exp(-max(gate, STEEPEST)));
  let upstream = dy[start + k];
  let value = Pair(
    upstream * gate_up[at + params.quads] * sigmoid * (1.0 + gate * (1.0 - sigmoid)), upstream * gate * sigmoid
  );
  d_gate_up[at] = value.gate;
  d_gate_up[at + params.quads] = value.up;
  return value;
}

fn stored(starts: vec4u, k: u32) -> Rows {
  var rows = Rows();
  rows.r0 = d_gate_up[starts.x + k];
  if (ROWS > 1u) {
    rows.r1 = d_gate_up[starts.y + k]; rows.r2 = d_gate_up[starts.z + k]; rows.r3 = d_gate_up[starts.w + k];
  }
  return rows;
}

@compute @workgroup_size(LANES)
fn swiglu_backward_hidden(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: the gradients; the first four ranks of both modules.
  let first = ROWS * group.x;
  let at = row_starts(first, params.rows, params.quads);
  var gate = Rows();
  var up = Rows();
  for (var k = lane; k < params.quads; k += LANES) {
    var d0 = gradient(at.x, k);
    var d1 = Pair(); var d2 = Pair(); var d3 = Pair();
    if (ROWS > 1u) { d1 = gradient(at.y, k); d2 = gradient(at.z, k); d3 = gradient(at.w, k); }
    gate = add_b(gate, Rows(d0.gate, d1.gate, d2.gate, d3.gate), load_b(0u, k));
    up = add_b(up, Rows(d0.up, d1.up, d2.up, d3.up), load_b(0u, params.quads + k));
  }
  write_sums(gate, lane, first, params.rows, 2u * params.rank, 0u);
  write_sums(up, lane, first, params.rows, 2u * params.rank, params.rank);

  // Phase 2: the other ranks.
  for (var rank = 4u; rank < params.rank; rank += 4u) {
    gate = Rows();
    up = Rows();
    for (var k = lane; k < params.quads; k += LANES) {
      gate = add_b(gate, stored(2u * at, k), load_b(rank, k));
      up = add_b(up, stored(2u * at + params.quads, k), load_b(rank, params.quads + k));
    }
    write_sums(gate, lane, first, params.rows, 2u * params.rank, rank);
    write_sums(up, lane, first, params.rows, 2u * params.rank, params.rank + rank);
  }
}
