// Prelude: the 64 numbers of an attention head in named blocks of 16, which stay in registers where an
// array indexed by a loop would lie in memory unless the compiler unrolls the loop.
// Needs a blocks_* prelude; the shader says what read_block(source, at) and write_block(at, x) do.

const HEAD_QUADS = 16u;   // D / 4

struct Head { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f }

fn read_head(source: u32, at: u32) -> Head {
  return Head(
    read_block(source, at), read_block(source, at + 4u), read_block(source, at + 8u),
    read_block(source, at + 12u),
  );
}

fn write_head(at: u32, x: Head) {
  write_block(at, x.a);
  write_block(at + 4u, x.b);
  write_block(at + 8u, x.c);
  write_block(at + 12u, x.d);
}

// The one that invocation `lane` of the eight holds.
fn shared_head(x: Head, lane: u32) -> Head {
  return Head(
    share_block(x.a, lane), share_block(x.b, lane), share_block(x.c, lane), share_block(x.d, lane),
  );
}

fn inner(x: Head, y: Head) -> f32 {
  return block_inner(x.a, y.a) + block_inner(x.b, y.b) + block_inner(x.c, y.c) +
    block_inner(x.d, y.d);
}

fn scaled(x: Head, factor: f32) -> Head {
  return Head(x.a * factor, x.b * factor, x.c * factor, x.d * factor);
}

fn divided(x: Head, divisor: f32) -> Head {
  return Head(
    divided_block(x.a, divisor), divided_block(x.b, divisor), divided_block(x.c, divisor), divided_block(x.d, divisor),
  );
}

fn added(x: Head, y: Head, factor: f32) -> Head {
  return Head(x.a + y.a * factor, x.b + y.b * factor, x.c + y.c * factor, x.d + y.d * factor);
}
