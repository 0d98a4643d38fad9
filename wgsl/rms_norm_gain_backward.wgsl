// rms_norm_gain_backward — d_gain += Σ_t dy[t]∘x[t]·rstd[t], the gradient of a norm's weight
// dy (T, C), x (T, C), rstd (T) → d_gain (C), f32; C a multiple of 4
// Dispatch (⌈C/4/LANES⌉, 1, 1): an invocation owns four columns and every SLICES-th row; slices are
// summed in a fixed order and added to what d_gain holds.
// Source: derivative of rms_norm.wgsl; app.reference.rms_norm.

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_gain: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
  rows: u32,    // T
  quads: u32,   // C / 4
}

override LANES: u32 = 8;
override SLICES: u32 = 8;

var<workgroup> partial: array<vec4f, LANES * SLICES>;

@compute @workgroup_size(LANES, SLICES)
fn rms_norm_gain_backward(
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let quad = group.x * LANES + local.x;
  let column = min(quad, params.quads - 1u);
  var sum = vec4f();
  for (var t = local.y; t < params.rows; t += SLICES) {
    let at = t * params.quads + column;
    sum += dy[at] * x[at] * rstd[t];
  }
  partial[local.y * LANES + local.x] = sum;
  workgroupBarrier();
  if (local.y > 0u || quad >= params.quads) { return; }
  var total = partial[local.x];
  for (var slice = 1u; slice < SLICES; slice++) { total += partial[slice * LANES + local.x]; }
  d_gain[quad] += total;
}
