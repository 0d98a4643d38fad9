// Prelude: 32 elements of one row, which all invocations along a workgroup's x need alike.
// Each reads all of them: a GPU's cache serves the same address to all at once.
// The shader says what a row's elements are: fn read_row(index: u32) -> vec4f.

alias Chunk = array<vec4f, 8>;

fn load_chunk(start: u32) -> Chunk {
  return Chunk(
    read_row(start), read_row(start + 1u), read_row(start + 2u), read_row(start + 3u),
    read_row(start + 4u), read_row(start + 5u), read_row(start + 6u), read_row(start + 7u),
  );
}
