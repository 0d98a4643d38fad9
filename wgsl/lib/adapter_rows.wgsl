// Prelude: the rows of an adapter that share a scale: rows of A, and of Bᵀ those of each module
// A packed row is columns/(32/BITS) words of codes, lowest bits first; B's is that of all stacked modules
// side by side, with a scale for each. rows: per packed row (start, stride, columns, first_bound,
// second_bound, word, scale, scale_stride): element n lies at start + n·stride of the flat array, its
// code in words from `word` on, the scale of module m at scale + m·scale_stride.

override BITS: u32 = 1;

const WORKGROUP_SIZE = 64u;

struct Row {
  start: u32, stride: u32, columns: u32, first_bound: u32, second_bound: u32, word: u32, scale: u32,
  scale_stride: u32,
}

fn row_of(index: u32) -> Row {
  let at = 8u * index;
  return Row(
    rows[at], rows[at + 1u], rows[at + 2u], rows[at + 3u], rows[at + 4u], rows[at + 5u], rows[at + 6u], rows[at + 7u],
  );
}

fn module_of(row: Row, n: u32) -> u32 {
  return select(0u, 1u, n >= row.first_bound) + select(0u, 1u, n >= row.second_bound);
}
