// @ts-check
// Byte-level BPE in the browser, equal to the native `tokenizers` wheel to the last token.
// The package does the merges and finds the added tokens. Splitting into words and normalising
// are in pre-tokenizer.js; decoding is here, because added tokens pass through the byte
// alphabet too.

import { Tokenizer as PackageTokenizer } from "../vendor/tokenizers/tokenizers.mjs";
import { say } from "../messages/mark.js";
import { BYTE_TO_CHAR, normalizeNfc, stepsOf } from "./pre-tokenizer.js";

/** Character of a vocabulary to the byte it stands for. */
const CHAR_TO_BYTE = new Map(BYTE_TO_CHAR.map((char, byte) => [char, byte]));

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Without an unknown token, bytes that the vocabulary lacks vanish before the merges: their
 * neighbours may merge. (The package lets them vanish afterwards.)
 * @param {any} model
 * @param {{unk_token?: string | null, vocab: Record<string, number>}} spec
 */
function dropMissingBytes(model, spec) {
  const missing = BYTE_TO_CHAR.filter((char) => !Object.hasOwn(spec.vocab, char));
  if (missing.length === 0 || spec.unk_token) return;
  const escaped = missing.map((char) => `\\u{${char.charCodeAt(0).toString(16)}}`);
  const pattern = new RegExp(`[${escaped.join("")}]`, "gu");
  const merge = model.bpe.bind(model);
  model.bpe = (/** @type {string} */ word) => merge(word.replace(pattern, ""));
}

/**
 * Build a tokenizer from the text of a tokenizer.json.
 * @param {string} json
 */
export function createTokenizer(json) {
  const contents = JSON.parse(json);
  if (contents.decoder?.type !== "ByteLevel" || contents.model?.type !== "BPE") {
    throw new Error(say("only byte-level BPE is supported in the browser"));
  }
  const normalizer = contents.normalizer?.type;
  if (normalizer !== undefined && normalizer !== "NFC") {
    throw new Error(say("its normalizer {name} is not supported in the browser", { name: normalizer }));
  }
  const steps = stepsOf(contents.pre_tokenizer);
  // The package's types hide the parts that are replaced here.
  const tokenizer = /** @type {any} */ (new PackageTokenizer(contents, {}));
  if (normalizer) tokenizer.normalizer = normalizeNfc;
  tokenizer.pre_tokenizer = (/** @type {string} */ text) =>
    steps.reduce((pieces, step) => step(pieces), [text]);
  dropMissingBytes(tokenizer.model, contents.model);
  /** @type {(string | undefined)[]} */
  const tokens = tokenizer.model.vocab;
  const special = new Set(tokenizer.all_special_ids);

  return {
    vocabSize: tokenizer.model.tokens_to_ids.size,
    /** @param {string} text */
    encode(text) {
      return Int32Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids);
    },
    /**
     * @param {Iterable<number>} ids
     * @param {boolean} skipSpecial
     */
    decode(ids, skipSpecial) {
      /** @type {number[]} */
      const bytes = [];
      for (const id of ids) {
        const token = tokens[id];
        if (token === undefined || (skipSpecial && special.has(id))) continue;
        const mapped = Array.from(token, (char) => CHAR_TO_BYTE.get(char));
        const known = mapped.every((byte) => byte !== undefined);
        for (const byte of known ? mapped : encoder.encode(token)) bytes.push(Number(byte));
      }
      return decoder.decode(Uint8Array.from(bytes));
    },
    /** @param {string} token */
    tokenId: (token) => tokenizer.token_to_id(token) ?? -1,
    /** @param {number} id */
    token: (id) => tokens[id],
  };
}
