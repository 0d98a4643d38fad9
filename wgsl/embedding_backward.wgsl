// embedding_backward — d_table[ids[t]] += dy[t], the gradient of a table, stored as packed weights lie
// ids (T) · dy (T, C) → d_table (C, V), f32, which is the gradient of the table transposed
// Dispatch (T, 1, 1): a workgroup a row. The first row of a token adds those of all its occurrences,
// in order, and the others add nothing: no atomics, and the same sum on every run. An invocation owns
// every LANES-th column, so that no two write one element.

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> d_table: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
  rows: u32,      // T
  columns: u32,   // C
  stride: u32,    // V, padded
}

override LANES: u32 = 64;

var<workgroup> earlier: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn embedding_backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  // Phase 1: does the token occur before this row?
  let id = ids[group.x];
  var found = 0u;
  for (var t = lane; t < group.x; t += LANES) { found += select(0u, 1u, ids[t] == id); }
  earlier[lane] = found;
  workgroupBarrier();
  var count = 0u;
  for (var i = 0u; i < LANES; i++) { count += earlier[i]; }

  // Phase 2: all its rows, in order.
  for (var t = select(params.rows, group.x, count == 0u); t < params.rows; t++) {
    if (ids[t] != id) { continue; }
    for (var column = lane; column < params.columns; column += LANES) {
      d_table[column * params.stride + id] += dy[t * params.columns + column];
    }
  }
}
