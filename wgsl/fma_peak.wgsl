// fma_peak — y[i] = Σ over CHAINS of the map v ← v·factor + addend, applied 32·rounds times to the
// chain's seed (1, 2, 3) · x[i]: nothing but f32 multiply-adds in registers, the most that a
// product could do. x (invocations) vec4f → y (invocations) vec4f, f32
// Dispatch grid_1d(invocations, 64); 2 · 4 · CHAINS · 32 · rounds FLOP an invocation.
// Written out 32 times, because a rolled loop measures its own counting on a software adapter. How
// many chains are fastest depends on an adapter's registers and latency: 2 and 3 are both tried.
// Invocations are a multiple of 64: after an early return a software adapter masks every step, at
// a third of the speed. Reference: app.reference.peak.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
  rounds: u32,
  factor: f32,   // below 1, so that values stay near addend / (1 − factor)
  addend: f32,
}

override CHAINS: u32 = 3;   // 2 or 3

@compute @workgroup_size(64)
fn fma_peak(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let m = vec4f(params.factor);
  let c = vec4f(params.addend);
  var p = x[index];
  var q = 2.0 * p;
  var r = 3.0 * p;
  if (CHAINS == 2u) {
    r = vec4f();
    for (var round = 0u; round < params.rounds; round++) {
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
      p = fma(p, m, c); q = fma(q, m, c); p = fma(p, m, c); q = fma(q, m, c);
    }
  } else {
    for (var round = 0u; round < params.rounds; round++) {
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
      p = fma(p, m, c); q = fma(q, m, c); r = fma(r, m, c);
    }
  }
  y[index] = p + q + r;
}
