// rms_norm — y = x · rstd · weight,  rstd = 1/√(mean(x²) + eps)
// x (rows, C) · weight (C) → y (rows, C), rstd (rows; saved for backward), f32; C a multiple of 4
// Dispatch (rows, 1, 1): one workgroup per row; the squares are summed by a fixed tree.
// Source: arXiv:1910.07467 §3; matches HuggingFace LlamaRMSNorm.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  quads: u32,   // C / 4
  eps: f32,
}

override LANES: u32 = 64;   // a power of two

var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn rms_norm(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: sum of squares.
  let start = group.x * params.quads;
  var sum = 0.0;
  for (var k = lane; k < params.quads; k += LANES) {
    let value = x[start + k];
    sum += dot(value, value);
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }

  // Phase 2: scale.
  let scale = 1.0 / sqrt(partial[0] / f32(4u * params.quads) + params.eps);
  for (var k = lane; k < params.quads; k += LANES) {
    y[start + k] = x[start + k] * scale * weight[k];
  }
  if (lane == 0u) { rstd[group.x] = scale; }
}
