// rms_norm_backward — dx = rstd · (w∘dy − x̂ · mean(w∘dy∘x̂)) + skip,  x̂ = x · rstd
// dy (rows, C), x (rows, C), weight (C), rstd (rows), skip (rows, C) → dx (rows, C), f32
// skip is the gradient that flows past the norm along the residual stream; weight is frozen.
// Dispatch (rows, 1, 1): one workgroup per row; the products are summed by a fixed tree.
// Source: derivative of rms_norm.wgsl; app.reference.rms_norm.

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> skip: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

struct Params {
  quads: u32,      // C / 4
  has_skip: u32,
}

override LANES: u32 = 64;   // a power of two

var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn rms_norm_backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: sum of w∘dy∘x.
  let start = group.x * params.quads;
  var sum = 0.0;
  for (var k = lane; k < params.quads; k += LANES) {
    sum += dot(weight[k] * dy[start + k], x[start + k]);
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }

  // Phase 2: combine.
  let scale = rstd[group.x];
  let mean = partial[0] * scale / f32(4u * params.quads);
  for (var k = lane; k < params.quads; k += LANES) {
    let index = start + k;
    var value = scale * (weight[k] * dy[index] - x[index] * scale * mean);
    if (params.has_skip > 0u) { value += skip[index]; }
    dx[index] = value;
  }
}
