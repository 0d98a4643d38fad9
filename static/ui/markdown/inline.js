// @ts-check
/** Emphasis, code and links within a line of Markdown: text in, plain data out. */

/**
 * @typedef {{type: 'text', text: string} | {type: 'code', text: string} | {type: 'link', text: string, href: string}
 *   | {type: 'strong'|'em'|'strike', inline: Inline[]}} Inline
 */

/** Emphasis within emphasis deeper than this stays the signs that it is written with. */
const MAX_OPEN = 12;
const ESCAPED = /[\\`*_{}[\]()#+\-.!|~>]/;
const LINK = /\[([^[\]\n]{1,300})\]\(<?(https?:\/\/[^\s()<>]{1,1000}(?:\([^\s()<>]{0,200}\)[^\s()<>]{0,200})?)>?(?: "[^"\n]{0,200}")?\)/y;
const KINDS = /** @type {const} */ ({ '**': 'strong', __: 'strong', '*': 'em', _: 'em', '~~': 'strike' });

/** @typedef {keyof typeof KINDS} Marker */

/** @param {string} text */
const isWord = (text) => /[\p{L}\p{N}]/u.test(text);

/**
 * The address of a link, where it is one that a page may offer: only the web's own kinds, and
 * written as the browser will read it, so that what is shown is where a click goes.
 * @param {string} written
 */
export function addressOf(written) {
  const url = URL.canParse(written) ? new URL(written) : null;
  return url && (url.protocol === 'https:' || url.protocol === 'http:') && !url.username && !url.password ? url.href : null;
}

class InlineReader {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.at = 0;
    /** @type {Inline[]} */
    this.found = [];
    this.plain = '';
    /** @type {{marker: Marker, index: number}[]} signs that may yet turn out to open emphasis */
    this.open = [];
    /** @type {Set<number>} lengths of backtick runs that nothing closes from here on */
    this.unclosed = new Set();
  }

  flush() {
    if (this.plain) this.found.push({ type: 'text', text: this.plain });
    this.plain = '';
  }

  read() {
    const { text } = this;
    while (this.at < text.length) {
      const sign = text.charAt(this.at);
      const done = sign === '\\' ? this.escape() : sign === '`' ? this.code() : sign === '[' ? this.link()
        : sign === '*' || sign === '_' || sign === '~' ? this.emphasis(sign) : false;
      if (done) continue;
      this.plain += sign;
      this.at += 1;
    }
    this.flush();
    return this.found;
  }

  escape() {
    const next = this.text.charAt(this.at + 1);
    if (!next || !ESCAPED.test(next)) return false;
    this.plain += next;
    this.at += 2;
    return true;
  }

  code() {
    let length = 1;
    while (this.text.charAt(this.at + length) === '`') length += 1;
    const fence = '`'.repeat(length);
    let close = this.unclosed.has(length) ? -1 : this.text.indexOf(fence, this.at + length);
    while (close >= 0 && this.text.charAt(close + length) === '`') {
      let next = close + length;
      while (this.text.charAt(next) === '`') next += 1;
      close = this.text.indexOf(fence, next);
    }
    if (close < 0) {
      this.unclosed.add(length);
      this.plain += fence;
      this.at += length;
      return true;
    }
    this.flush();
    const inside = this.text.slice(this.at + length, close);
    this.found.push({ type: 'code', text: inside.length > 2 && inside.startsWith(' ') && inside.endsWith(' ') ? inside.slice(1, -1) : inside });
    this.at = close + length;
    return true;
  }

  link() {
    LINK.lastIndex = this.at;
    const match = LINK.exec(this.text);
    const href = match ? addressOf(match[2] ?? '') : null;
    if (!match || href === null) return false;
    this.flush();
    this.found.push({ type: 'link', text: match[1] ?? '', href });
    this.at = LINK.lastIndex;
    return true;
  }

  /** @param {string} sign */
  emphasis(sign) {
    const isDouble = this.text.charAt(this.at + 1) === sign;
    if (sign === '~' && !isDouble) return false;
    // Of three signs that close, the one opened last goes first.
    const isSingle = !isDouble || (this.text.startsWith(sign.repeat(3), this.at) && this.open.at(-1)?.marker === sign);
    const marker = /** @type {Marker} */ (isSingle ? sign : sign + sign);
    const before = this.text.charAt(this.at - 1);
    const after = this.text.charAt(this.at + marker.length);
    const isInWord = sign === '_' && isWord(before) && isWord(after); // snake_case is no emphasis
    const opener = this.open.findLastIndex((item) => item.marker === marker);
    if (!isInWord && opener >= 0 && before.trim() !== '' && this.found.length + (this.plain ? 1 : 0) > (this.open[opener]?.index ?? 0) + 1) {
      this.close(opener, marker);
    } else {
      this.flush();
      if (!isInWord && after.trim() !== '') this.open.push({ marker, index: this.found.length });
      if (this.open.length > MAX_OPEN) this.open.shift();
      // The sign itself, until something closes it.
      this.found.push({ type: 'text', text: marker });
    }
    this.at += marker.length;
    return true;
  }

  /** Fold what came since an opening sign. @param {number} opener @param {Marker} marker */
  close(opener, marker) {
    this.flush();
    const index = this.open[opener]?.index ?? 0;
    this.open.length = opener;
    const inline = join(this.found.splice(index).slice(1));
    this.found.push({ type: KINDS[marker], inline });
  }
}

/** Put neighbouring texts together. @param {Inline[]} parts @returns {Inline[]} */
function join(parts) {
  /** @type {Inline[]} */
  const joined = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (part.type === 'text' && last?.type === 'text') joined[joined.length - 1] = { type: 'text', text: last.text + part.text };
    else joined.push(part);
  }
  return joined;
}

/**
 * Return the parts of a text; put together, their texts are the text without its signs.
 * @param {string} text
 * @returns {Inline[]}
 */
export const parseInline = (text) => join(new InlineReader(text).read());
