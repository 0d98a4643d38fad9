// rms_norm_hidden — rms_norm.wgsl, and the narrow side of the projection that reads its result
// y = x · rstd · weight,  rstd = 1/√(mean(x²) + eps),  h = scaling · y·Aᵀ
// x (M, C) · weight (C) · factors: A (R, C) → y (M, C), rstd (M), h (M, R), f32; C and R multiples of 4
// Dispatch (⌈M/ROWS⌉, 1, 1): a workgroup owns ROWS rows; its invocations share the columns.
// Needs a low_rank_* and a factors_* prelude. Later ranks read y back, each invocation what it wrote itself.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> factors: array<Factor>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> h: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,     // C / 4
  ranks: u32,     // R
  eps: f32,
  scaling: f32,
}

var<workgroup> squares: array<vec4f, LANES>;

fn write_hidden(index: u32, value: f32) { h[index] = params.scaling * value; }

fn load_a(rank: u32, k: u32) -> mat4x4f {
  return a_block(rank, k, params.quads, params.ranks);
}

@compute @workgroup_size(LANES)
fn rms_norm_hidden(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: sums of squares, a component each row.
  let first = ROWS * group.x;
  let at = row_starts(first, params.rows, params.quads);
  var sum = vec4f();
  for (var k = lane; k < params.quads; k += LANES) {
    let v0 = x[at.x + k];
    sum.x += dot(v0, v0);
    if (ROWS > 1u) {
      let v1 = x[at.y + k]; let v2 = x[at.z + k]; let v3 = x[at.w + k];
      sum += vec4f(0.0, dot(v1, v1), dot(v2, v2), dot(v3, v3));
    }
  }
  squares[lane] = sum;
  workgroupBarrier();
  var total = vec4f();
  for (var other = 0u; other < LANES; other++) { total += squares[other]; }
  let scale = 1.0 / sqrt(total / f32(4u * params.quads) + params.eps);

  // Phase 2: scale; the first four ranks.
  var hidden = Rows();
  for (var k = lane; k < params.quads; k += LANES) {
    let w = weight[k];
    var rows = Rows();
    rows.r0 = x[at.x + k] * scale.x * w;
    y[at.x + k] = rows.r0;
    if (ROWS > 1u) {
      rows.r1 = x[at.y + k] * scale.y * w; rows.r2 = x[at.z + k] * scale.z * w; rows.r3 = x[at.w + k] * scale.w * w;
      y[at.y + k] = rows.r1; y[at.z + k] = rows.r2; y[at.w + k] = rows.r3;
    }
    hidden = add_a(hidden, rows, load_a(0u, k));
  }
  write_sums(hidden, lane, first, params.rows, params.ranks, 0u);
  if (lane < ROWS && first + lane < params.rows) { rstd[first + lane] = scale[lane]; }

  // Phase 3: the other ranks.
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
