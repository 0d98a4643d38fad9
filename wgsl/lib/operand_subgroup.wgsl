// Prelude: a group of eight rows in eight bits, which all invocations of a workgroup need alike.
// Each reads one of them and the subgroup shares: an eighth of the loads, where a load costs every
// invocation its own. Needs subgroups of at least 8, all of them active.
// The shader has codes, array<vec4u>, and code_scales, array<vec2f>, of quantize_rows.wgsl.

struct Group { lo: vec4u, hi: vec4u, scale: vec2f }   // 32 elements, their scale and their sum

alias Groups = array<Group, 8>;

alias EightRows = u32;   // where this invocation's row starts, in groups

// Rows first..first + 7; those past the last repeat it.
fn eight_rows(first: u32, last: u32, width: u32) -> EightRows {
  let lane = subgroupExclusiveAdd(1u);
  return min(first + lane % 8u, last) * width;
}

fn load_groups(rows: EightRows, group: u32) -> Groups {
  let lo = codes[2u * (rows + group)];
  let hi = codes[2u * (rows + group) + 1u];
  let scale = code_scales[rows + group];
  return Groups(
    Group(subgroupBroadcast(lo, 0u), subgroupBroadcast(hi, 0u), subgroupBroadcast(scale, 0u)),
    Group(subgroupBroadcast(lo, 1u), subgroupBroadcast(hi, 1u), subgroupBroadcast(scale, 1u)),
    Group(subgroupBroadcast(lo, 2u), subgroupBroadcast(hi, 2u), subgroupBroadcast(scale, 2u)),
    Group(subgroupBroadcast(lo, 3u), subgroupBroadcast(hi, 3u), subgroupBroadcast(scale, 3u)),
    Group(subgroupBroadcast(lo, 4u), subgroupBroadcast(hi, 4u), subgroupBroadcast(scale, 4u)),
    Group(subgroupBroadcast(lo, 5u), subgroupBroadcast(hi, 5u), subgroupBroadcast(scale, 5u)),
    Group(subgroupBroadcast(lo, 6u), subgroupBroadcast(hi, 6u), subgroupBroadcast(scale, 6u)),
    Group(subgroupBroadcast(lo, 7u), subgroupBroadcast(hi, 7u), subgroupBroadcast(scale, 7u)),
  );
}
