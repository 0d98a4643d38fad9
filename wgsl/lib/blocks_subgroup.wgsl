// Prelude: blocks of 16 numbers shared by eight neighbouring invocations, each of which read another
// row: an eighth of the loads where a load costs every invocation its own, even of one address.
// Needs subgroups of at least 8, all of them active.

fn own_lane() -> u32 { return subgroupExclusiveAdd(1u) % 8u; }

fn share_block(x: mat4x4f, lane: u32) -> mat4x4f {
  return mat4x4f(
    subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane),
    subgroupShuffle(x[2], lane), subgroupShuffle(x[3], lane),
  );
}

fn share_number(x: f32, lane: u32) -> f32 { return subgroupShuffle(x, lane); }

fn share_index(x: u32, lane: u32) -> u32 { return subgroupShuffle(x, lane); }

fn block_inner(x: mat4x4f, y: mat4x4f) -> f32 {
  return dot(x[0], y[0]) + dot(x[1], y[1]) + dot(x[2], y[2]) + dot(x[3], y[3]);
}

fn divided_block(x: mat4x4f, divisor: f32) -> mat4x4f {
  return mat4x4f(x[0] / divisor, x[1] / divisor, x[2] / divisor, x[3] / divisor);
}
