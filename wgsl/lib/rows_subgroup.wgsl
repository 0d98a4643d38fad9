// Prelude: eight rows of an operand, which all invocations of a workgroup need alike.
// Each reads one of them and the subgroup shares: an eighth of the loads, where a load costs every
// invocation its own. Needs subgroups of at least 8, all of them active.
// The shader says what a row's elements are, fn read_row(index: u32) -> vec4f, and what those of
// its low-rank operand are, fn read_value(index: u32) -> f32.

alias Eight = array<vec4f, 8>;

alias EightValues = array<f32, 8>;

alias EightRows = u32;   // where this invocation's row starts, in elements

// Rows first..first + 7 of an array of `width` elements a row; those past the last repeat it.
fn eight_rows(first: u32, last: u32, width: u32) -> EightRows {
  let lane = subgroupExclusiveAdd(1u);
  return min(first + lane % 8u, last) * width;
}

fn load_rows(rows: EightRows, k: u32) -> Eight {
  let own = read_row(rows + k);
  return Eight(
    subgroupBroadcast(own, 0u), subgroupBroadcast(own, 1u),
    subgroupBroadcast(own, 2u), subgroupBroadcast(own, 3u),
    subgroupBroadcast(own, 4u), subgroupBroadcast(own, 5u),
    subgroupBroadcast(own, 6u), subgroupBroadcast(own, 7u),
  );
}

fn load_values(rows: EightRows, r: u32) -> EightValues {
  let own = read_value(rows + r);
  return EightValues(
    subgroupBroadcast(own, 0u), subgroupBroadcast(own, 1u),
    subgroupBroadcast(own, 2u), subgroupBroadcast(own, 3u),
    subgroupBroadcast(own, 4u), subgroupBroadcast(own, 5u),
    subgroupBroadcast(own, 6u), subgroupBroadcast(own, 7u),
  );
}
