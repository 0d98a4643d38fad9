// Encode and decode with the browser's tokenizer.
//   node encode_with_js.mjs DIRECTORY < request > answer
// DIRECTORY holds text/tokenizer.js and vendor/ as the page serves them. The request is one JSON
// object {tokenizer: the text of a tokenizer.json, texts: [...], ids: [[...], ...]}; the answer
// {ids: one list a text, texts: one pair [whole, without special tokens] a list of ids}.

import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const module = pathToFileURL(join(resolve(process.argv[2]), "text/tokenizer.js")).href;
const { createTokenizer } = await import(module);
const request = JSON.parse(readFileSync(0, "utf8"));
const tokenizer = createTokenizer(request.tokenizer);
const answer = {
  vocabSize: tokenizer.vocabSize,
  ids: request.texts.map((text) => Array.from(tokenizer.encode(text))),
  texts: request.ids.map((ids) => {
    const array = Int32Array.from(ids);
    return [tokenizer.decode(array, false), tokenizer.decode(array, true)];
  }),
};
writeFileSync(1, JSON.stringify(answer));
