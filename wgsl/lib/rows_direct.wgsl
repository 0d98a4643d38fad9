// Prelude: eight rows of an operand, which all invocations of a workgroup need alike.
// Each reads all of them: a GPU's cache serves the same address to all at once.
// The shader says what a row's elements are, fn read_row(index: u32) -> vec4f, and what those of
// its low-rank operand are, fn read_value(index: u32) -> f32.

alias Eight = array<vec4f, 8>;

alias EightValues = array<f32, 8>;

alias EightRows = array<u32, 8>;   // where each row starts, in elements

// Rows first..first + 7 of an array of `width` elements a row; those past the last repeat it.
fn eight_rows(first: u32, last: u32, width: u32) -> EightRows {
  return EightRows(
    min(first, last) * width, min(first + 1u, last) * width,
    min(first + 2u, last) * width, min(first + 3u, last) * width,
    min(first + 4u, last) * width, min(first + 5u, last) * width,
    min(first + 6u, last) * width, min(first + 7u, last) * width,
  );
}

fn load_rows(rows: EightRows, k: u32) -> Eight {
  return Eight(
    read_row(rows[0] + k), read_row(rows[1] + k), read_row(rows[2] + k), read_row(rows[3] + k),
    read_row(rows[4] + k), read_row(rows[5] + k), read_row(rows[6] + k), read_row(rows[7] + k),
  );
}

fn load_values(rows: EightRows, r: u32) -> EightValues {
  return EightValues(
    read_value(rows[0] + r), read_value(rows[1] + r), read_value(rows[2] + r), read_value(rows[3] + r),
    read_value(rows[4] + r), read_value(rows[5] + r), read_value(rows[6] + r), read_value(rows[7] + r),
  );
}
