// Prelude: the 16 numbers of an attention head in named blocks of 16, which stay in registers where an
// array indexed by a loop would lie in memory unless the compiler unrolls the loop.
// Needs a blocks_* prelude; the shader says what read_block(source, at) and write_block(at, x) do.

const HEAD_QUADS = 4u;   // D / 4

struct Head { a: mat4x4f }

fn read_head(source: u32, at: u32) -> Head {
  return Head(read_block(source, at));
}

fn write_head(at: u32, x: Head) {
  write_block(at, x.a);
}

// The one that invocation `lane` of the eight holds.
fn shared_head(x: Head, lane: u32) -> Head {
  return Head(share_block(x.a, lane));
}

fn inner(x: Head, y: Head) -> f32 {
  return block_inner(x.a, y.a);
}

fn scaled(x: Head, factor: f32) -> Head {
  return Head(x.a * factor);
}

fn divided(x: Head, divisor: f32) -> Head {
  return Head(divided_block(x.a, divisor));
}

fn added(x: Head, y: Head, factor: f32) -> Head {
  return Head(x.a + y.a * factor);
}
