// @ts-check
// Normalise text and cut it into words exactly as the native `tokenizers` wheel does.
// JavaScript's own classes would not: \d is ASCII only, U+FEFF is a space and U+0085 is not,
// and \p{L} and NFC follow the browser's Unicode version.

import { say } from "../messages/mark.js";
import { LETTERS, NORMALIZED, NUMBERS } from "./unicode-classes.js";

/**
 * @typedef {(pieces: string[]) => string[]} Step
 * @typedef {object} PreTokenizer
 * @property {string} type
 * @property {PreTokenizer[]} [pretokenizers]
 * @property {boolean} [add_prefix_space]
 * @property {boolean} [use_regex]
 * @property {boolean} [individual_digits]
 * @property {{Regex?: string}} [pattern]
 * @property {string} [behavior]
 * @property {boolean} [invert]
 */

const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const SPACES = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** Members of a class in the form that stands between square brackets. */
const CLASSES = new Map([
  ["\\p{L}", unpack(LETTERS)],
  ["\\p{N}", unpack(NUMBERS)],
  ["\\s", SPACES],
]);
/** Letters that fold to an ASCII letter beside its other case. */
const FOLDED = new Map([["s", "\\u017f"], ["k", "\\u212a"]]);
const PLAIN_ESCAPE = /^\\[rnt\\^$.*+?()[\]{}|/-]$/;

const encoder = new TextEncoder();

/** Byte to the character that stands for it in a vocabulary. */
export const BYTE_TO_CHAR = byteAlphabet();

/** @param {string} packed */
function unpack(packed) {
  const numbers = packed.split(" ").map((digits) => parseInt(digits, 36));
  let position = 0;
  let members = "";
  for (let i = 0; i < numbers.length; i += 2) {
    const first = position + numbers[i];
    const last = first + numbers[i + 1];
    members += `\\u{${first.toString(16)}}-\\u{${last.toString(16)}}`;
    position = last + 1;
  }
  return members;
}

function byteAlphabet() {
  let spare = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : spare++);
  });
}

/**
 * Translate a pattern of a tokenizer.json (Oniguruma) with the classes pinned above.
 * @param {string} source
 */
function compile(source) {
  let inClass = false;
  let caseless = false;
  const parts = /\\[pP]\{[^}]*\}|\\.|\(\?i:|[^]/gu;
  const translated = source.replace(parts, (part) => {
    const members = CLASSES.get(part === "\\S" ? "\\s" : part);
    if (members !== undefined && !(inClass && part === "\\S")) {
      return inClass ? members : `[${part === "\\S" ? "^" : ""}${members}]`;
    }
    if (part === "(?i:") {
      caseless = true;
      return "(?:";
    }
    if (part.length > 1 && part.startsWith("\\") && !PLAIN_ESCAPE.test(part)) {
      throw new Error(say("its pattern uses {part}, which is not supported here: {source}", { part, source }));
    }
    if (part === "[" || part === "]") inClass = part === "[";
    if (part === ")" && !inClass) caseless = false;
    if (caseless && /^[a-z]$/i.test(part)) {
      const lower = part.toLowerCase();
      return `[${lower}${lower.toUpperCase()}${FOLDED.get(lower) ?? ""}]`;
    }
    return part;
  });
  return new RegExp(translated, "gu");
}

/**
 * Cut each piece at the matches; matches and what lies between them are kept.
 * @param {RegExp} pattern
 * @returns {Step}
 */
function isolate(pattern) {
  return (pieces) => {
    /** @type {string[]} */
    const found = [];
    for (const piece of pieces) {
      let end = 0;
      // exec, since matchAll would copy this large pattern for every piece.
      pattern.lastIndex = 0;
      for (let match = pattern.exec(piece); match?.[0]; match = pattern.exec(piece)) {
        if (match.index > end) found.push(piece.slice(end, match.index));
        end = pattern.lastIndex;
        found.push(match[0]);
      }
      if (end < piece.length) found.push(piece.slice(end));
    }
    return found;
  };
}

const NORMALIZED_RUN = new RegExp(`[${unpack(NORMALIZED)}]+`, "gu");

/**
 * NFC as the wheel knows it: characters of later Unicode versions stay as they are, and none
 * composes or changes places across them.
 * @param {string} text
 */
export function normalizeNfc(text) {
  return text.replace(NORMALIZED_RUN, (run) => run.normalize("NFC"));
}

/** @param {string} piece */
function toAlphabet(piece) {
  let text = "";
  for (const byte of encoder.encode(piece)) text += BYTE_TO_CHAR[byte];
  return text;
}

/**
 * The steps of the `pre_tokenizer` of a tokenizer.json, to be applied in order to [text].
 * @param {PreTokenizer} spec
 * @returns {Step[]}
 */
export function stepsOf(spec) {
  if (spec.type === "Sequence" && spec.pretokenizers) return spec.pretokenizers.flatMap(stepsOf);
  if (spec.type === "Digits") {
    return [isolate(compile(spec.individual_digits ? "\\p{N}" : "\\p{N}+"))];
  }
  if (spec.type === "ByteLevel" && !spec.add_prefix_space) {
    const toBytes = /** @type {Step} */ ((pieces) => pieces.map(toAlphabet));
    return spec.use_regex === false ? [toBytes] : [isolate(compile(GPT2_PATTERN)), toBytes];
  }
  const pattern = spec.pattern?.Regex;
  if (spec.type === "Split" && pattern && spec.behavior === "Isolated" && !spec.invert) {
    return [isolate(compile(pattern))];
  }
  throw new Error(say("its pre-tokenizer {name} is not supported in the browser", { name: JSON.stringify(spec) }));
}
