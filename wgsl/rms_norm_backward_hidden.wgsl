// rms_norm_backward_hidden — rms_norm_backward.wgsl, and the narrow side of the projection below
// dx = rstd · (w∘dy − x̂ · mean(w∘dy∘x̂)) + skip,  x̂ = x · rstd,  g = scaling · dx·B
// dy (M, C), x (M, C), weight (C), rstd (M), skip (M, C), factors: B (C, RANK) → dx (M, C), g (M, RANK), f32
// C and RANK are multiples of 4. skip is the gradient that flows past the norm.
// Dispatch (⌈M/ROWS⌉, 1, 1): a workgroup owns ROWS rows; its invocations share the columns.
// Needs a low_rank_* and a factors_* prelude. Later ranks read dx back, each invocation what it wrote itself.

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> skip: array<vec4f>;
@group(0) @binding(5) var<storage, read> factors: array<Factor>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> g: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

struct Params {
  rows: u32,
  quads: u32,     // C / 4
  rank: u32,
  has_skip: u32,
  scaling: f32,
}

var<workgroup> products: array<vec4f, LANES>;

fn write_hidden(index: u32, value: f32) { g[index] = params.scaling * value; }

fn load_b(rank: u32, k: u32) -> mat4x4f {
  return b_block(rank, k, params.quads, params.rank, 0u);
}

// dx of four columns of one row.
fn gradient(index: u32, k: u32, scale: f32, mean: f32) -> vec4f {
  var value = scale * (weight[k] * dy[index] - x[index] * scale * mean);
  if (params.has_skip > 0u) { value += skip[index]; }
  dx[index] = value;
  return value;
}

@compute @workgroup_size(LANES)
fn rms_norm_backward_hidden(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: sums of w∘dy∘x, a component each row.
  let first = ROWS * group.x;
  let at = row_starts(first, params.rows, params.quads);
  var sum = vec4f();
  for (var k = lane; k < params.quads; k += LANES) {
    let w = weight[k];
    sum.x += dot(w * dy[at.x + k], x[at.x + k]);
    if (ROWS > 1u) {
      sum += vec4f(
        0.0, dot(w * dy[at.y + k], x[at.y + k]), dot(w * dy[at.z + k], x[at.z + k]), dot(w * dy[at.w + k], x[at.w + k]),
      );
    }
  }
  products[lane] = sum;
  workgroupBarrier();
  var total = vec4f();
  for (var other = 0u; other < LANES; other++) { total += products[other]; }
  let row = row_starts(first, params.rows, 1u);
  let scale = vec4f(rstd[row.x], rstd[row.y], rstd[row.z], rstd[row.w]);
  let mean = total * scale / f32(4u * params.quads);

  // Phase 2: combine; the first four ranks.
  var hidden = Rows();
  for (var k = lane; k < params.quads; k += LANES) {
    var rows = Rows();
    rows.r0 = gradient(at.x + k, k, scale.x, mean.x);
    if (ROWS > 1u) {
      rows.r1 = gradient(at.y + k, k, scale.y, mean.y);
      rows.r2 = gradient(at.z + k, k, scale.z, mean.z);
      rows.r3 = gradient(at.w + k, k, scale.w, mean.w);
    }
    hidden = add_b(hidden, rows, load_b(0u, k));
  }
  write_sums(hidden, lane, first, params.rows, params.rank, 0u);

  // Phase 3: the other ranks.
  for (var rank = 4u; rank < params.rank; rank += 4u) {
    hidden = Rows();
    for (var k = lane; k < params.quads; k += LANES) {
      var rows = Rows();
      rows.r0 = dx[at.x + k];
      if (ROWS > 1u) { rows.r1 = dx[at.y + k]; rows.r2 = dx[at.z + k]; rows.r3 = dx[at.w + k]; }
      hidden = add_b(hidden, rows, load_b(rank, k));
    }
    write_sums(hidden, lane, first, params.rows, params.rank, rank);
  }
}
