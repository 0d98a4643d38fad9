// update_prepare — decide on one update: norm, clipping, bias corrections, or skip it
// norm = √Σ partials,  clip = min(1, max_norm / (norm + 1e-6)) (1 where max_norm is 0)
// An update whose loss or norm is not finite is skipped and not counted in t.
// step (learning_rate, max_norm, weight_decay, –) · partials · loss (1)
//   → state (t, skipped; kept between steps), report (loss, norm, t, skipped),
//     update (applied, clip, learning_rate, weight_decay, 1 − β1ᵗ, 1 − β2ᵗ, t, –) for the optimizer
// Dispatch (1, 1, 1). Resets loss for the next step. Source: torch.nn.utils.clip_grad_norm_.

@group(0) @binding(0) var<storage, read> step: array<f32>;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> update: array<f32>;
@group(0) @binding(5) var<storage, read_write> report: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

struct Params {
  num_partials: u32,
  log_beta1: f32,
  log_beta2: f32,
}

const EXPONENT_BITS = 0x7f800000u;

// isfinite on the bits: arithmetic tests for NaN may be optimised away.
fn is_finite(value: f32) -> bool {
  return (bitcast<u32>(value) & EXPONENT_BITS) != EXPONENT_BITS;
}

// 1 − e^x without cancellation for small x.
fn one_minus_exp(x: f32) -> f32 {
  if (x > -0.1) { return -x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x / 120.0)))); }
  return 1.0 - exp(x);
}

@compute @workgroup_size(1)
fn update_prepare() {
  var sum = 0.0;
  for (var i = 0u; i < params.num_partials; i++) { sum += partials[i]; }
  let norm = sqrt(sum);
  let is_applied = is_finite(norm) && is_finite(loss[0]);
  let t = state[0] + select(0.0, 1.0, is_applied);
  let skipped = state[1] + select(1.0, 0.0, is_applied);
  state[0] = t;
  state[1] = skipped;
  let max_norm = step[1];
  update[0] = select(0.0, 1.0, is_applied);
  update[1] = select(1.0, min(1.0, max_norm / (norm + 1e-6)), max_norm > 0.0);
  update[2] = step[0];
  update[3] = step[2];
  update[4] = one_minus_exp(t * params.log_beta1);
  update[5] = one_minus_exp(t * params.log_beta2);
  update[6] = t;
  report[0] = loss[0];
  report[1] = norm;
  report[2] = t;
  report[3] = skipped;
  loss[0] = 0.0;
}
