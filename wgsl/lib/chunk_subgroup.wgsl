// Prelude: 32 elements of one row, which all invocations along a workgroup's x need alike.
// Each reads four of them and the subgroup shares: an eighth of the loads, where a load costs every
// invocation its own. Needs subgroups of at least 8, all of them active, that lie within one row of
// invocations: LANES is a multiple of their size.
// The shader says what a row's elements are: fn read_row(index: u32) -> vec4f.

alias Chunk = array<vec4f, 8>;

fn load_chunk(start: u32) -> Chunk {
  let lane = subgroupExclusiveAdd(1u);
  let own = read_row(start + lane % 8u);
  return Chunk(
    subgroupBroadcast(own, 0u), subgroupBroadcast(own, 1u),
    subgroupBroadcast(own, 2u), subgroupBroadcast(own, 3u),
    subgroupBroadcast(own, 4u), subgroupBroadcast(own, 5u),
    subgroupBroadcast(own, 6u), subgroupBroadcast(own, 7u),
  );
}
