// Prelude: a group of eight rows in eight bits, which all invocations of a workgroup need alike.
// Each reads all of them: a GPU's cache serves the same address to all at once.
// The shader has codes, array<vec4u>, and code_scales, array<vec2f>, of quantize_rows.wgsl.

struct Group { lo: vec4u, hi: vec4u, scale: vec2f }   // 32 elements, their scale and their sum

alias Groups = array<Group, 8>;

alias EightRows = array<u32, 8>;   // where each row starts, in groups

// Rows first..first + 7; those past the last repeat it.
fn eight_rows(first: u32, last: u32, width: u32) -> EightRows {
  return EightRows(
    min(first, last) * width, min(first + 1u, last) * width,
    min(first + 2u, last) * width, min(first + 3u, last) * width,
    min(first + 4u, last) * width, min(first + 5u, last) * width,
    min(first + 6u, last) * width, min(first + 7u, last) * width,
  );
}

fn load_group(index: u32) -> Group {
  return Group(codes[2u * index], codes[2u * index + 1u], code_scales[index]);
}

fn load_groups(rows: EightRows, group: u32) -> Groups {
  return Groups(
    load_group(rows[0] + group), load_group(rows[1] + group),
    load_group(rows[2] + group), load_group(rows[3] + group),
    load_group(rows[4] + group), load_group(rows[5] + group),
    load_group(rows[6] + group), load_group(rows[7] + group),
  );
}
