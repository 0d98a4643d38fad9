// @ts-check
/**
 * What a model writes, read as Markdown: text in, plain data out, nothing that could be markup.
 * Every step looks at a character a bounded number of times, because an answer is read again
 * with each of its tokens and may hold anything. inline parts: inline.js.
 */

import { parseInline } from './inline.js';

/** @import {Inline} from './inline.js' */

/**
 * @typedef {{type: 'heading', level: number, inline: Inline[]} | {type: 'paragraph', inline: Inline[]}
 *   | {type: 'code', language: string, text: string} | {type: 'rule'} | {type: 'quote', blocks: Block[]}
 *   | {type: 'list', start: number|null, items: Block[][]}
 *   | {type: 'table', head: Inline[][], rows: Inline[][][]}} Block
 */

/** Lists and quotations deeper than this stay the text that they are. */
const MAX_DEPTH = 6;
const MAX_COLUMNS = 24;

const FENCE = /^ {0,3}(`{3,}|~{3,}) {0,8}([\w+#.-]{0,30})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6}) +(\S.*)$/;
const QUOTE = /^ {0,3}>/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)]) +(\S.*)$/;

/** @param {string} line */
const isBlank = (line) => line.trim() === '';

/** @param {string} line */
function isRule(line) {
  const marks = line.replace(/\s/g, '');
  return marks.length >= 3 && /^(-+|\*+|_+)$/.test(marks);
}

/** @param {string} line */
const indentOf = (line) => line.length - line.trimStart().length;

/** @param {string} line @returns {string[]} cells of a table's row */
function cellsOf(line) {
  const cells = line.trim().split('|');
  if (cells[0] === '') cells.shift();
  if (cells.at(-1) === '') cells.pop();
  if (cells.length > MAX_COLUMNS) cells.push(cells.splice(MAX_COLUMNS - 1).join('|'));
  return cells.map((cell) => cell.trim());
}

/** @param {string|undefined} line */
const isTableRule = (line) => line !== undefined && line.includes('-') && line.includes('|') && cellsOf(line).every((cell) => /^:?-+:?$/.test(cell));

/** @param {string} line */
const beginsBlock = (line) => FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || ITEM.test(line) || isRule(line);

/** Reads lines one after the other. */
class Reader {
  /** @param {string[]} lines @param {number} depth */
  constructor(lines, depth) {
    this.lines = lines;
    this.depth = depth;
    this.at = 0;
  }

  /** @returns {Block[]} */
  blocks() {
    /** @type {Block[]} */
    const found = [];
    while (this.at < this.lines.length) {
      if (isBlank(this.line)) this.at += 1;
      else found.push(this.block());
    }
    return found;
  }

  get line() {
    return this.lines[this.at] ?? '';
  }

  get isTable() {
    return this.line.includes('|') && isTableRule(this.lines[this.at + 1]);
  }

  /** @returns {Block} */
  block() {
    const { line } = this;
    const fence = FENCE.exec(line);
    if (fence) return this.code(fence[1] ?? '', fence[2] ?? '');
    const heading = HEADING.exec(line);
    if (heading) {
      this.at += 1;
      const text = (heading[2] ?? '').trimEnd();
      const last = text.search(/[^#]#*$/);
      return { type: 'heading', level: heading[1]?.length ?? 1, inline: parseInline(text.charAt(last) === ' ' ? text.slice(0, last).trimEnd() : text) };
    }
    if (isRule(line)) {
      this.at += 1;
      return { type: 'rule' };
    }
    if (this.depth < MAX_DEPTH && QUOTE.test(line)) return this.quote();
    const item = this.depth < MAX_DEPTH ? ITEM.exec(line) : null;
    if (item) return this.list(item);
    if (this.isTable) return this.table();
    return this.paragraph();
  }

  /** @param {string} fence @param {string} language @returns {Block} */
  code(fence, language) {
    const body = [];
    for (this.at += 1; this.at < this.lines.length; this.at += 1) {
      const trimmed = this.line.trim();
      if (trimmed.length >= fence.length && trimmed === fence.charAt(0).repeat(trimmed.length)) {
        this.at += 1;
        break;
      }
      body.push(this.line);
    }
    return { type: 'code', language, text: body.join('\n') };
  }

  /** @returns {Block} */
  quote() {
    const body = [];
    for (; this.at < this.lines.length && QUOTE.test(this.line); this.at += 1) body.push(this.line.replace(/^ {0,3}> ?/, ''));
    return { type: 'quote', blocks: new Reader(body, this.depth + 1).blocks() };
  }

  /** @param {RegExpExecArray} first @returns {Block} */
  list(first) {
    const isOrdered = /\d/.test(first[2] ?? '');
    const indent = first[1]?.length ?? 0;
    const items = [];
    for (let item = ITEM.exec(this.line); item; item = ITEM.exec(this.line)) {
      const own = item[1]?.length ?? 0;
      if (own < indent || own > indent + 3 || /\d/.test(item[2] ?? '') !== isOrdered || isRule(this.line)) break;
      this.at += 1;
      const body = [item[3] ?? '', ...this.rest(own)];
      items.push(new Reader(body, this.depth + 1).blocks());
      // Blank lines between two items belong to neither.
      let next = this.at;
      while (next < this.lines.length && isBlank(this.lines[next] ?? '')) next += 1;
      if (ITEM.test(this.lines[next] ?? '')) this.at = next;
    }
    return { type: 'list', start: isOrdered ? Number.parseInt(first[2] ?? '1', 10) : null, items };
  }

  /** The lines that belong to an item: indented ones, and those that go on its paragraph. @param {number} indent */
  rest(indent) {
    const body = [];
    let afterBlank = false;
    for (; this.at < this.lines.length; this.at += 1) {
      const { line } = this;
      const isInside = indentOf(line) > indent;
      if (isBlank(line)) {
        if (indentOf(this.lines[this.at + 1] ?? '') <= indent) break;
        afterBlank = true;
      } else if (!isInside && (afterBlank || beginsBlock(line))) break;
      body.push(line.slice(Math.min(indentOf(line), indent + 2)));
    }
    return body;
  }

  /** @returns {Block} */
  table() {
    const head = cellsOf(this.line);
    const rows = [];
    for (this.at += 2; this.at < this.lines.length && this.line.includes('|') && !isBlank(this.line); this.at += 1) {
      const cells = cellsOf(this.line);
      while (cells.length < head.length) cells.push('');
      rows.push(cells.map(parseInline));
    }
    return { type: 'table', head: head.map(parseInline), rows };
  }

  /** @returns {Block} */
  paragraph() {
    const body = [this.line];
    for (this.at += 1; this.at < this.lines.length; this.at += 1) {
      const { line } = this;
      if (isBlank(line) || this.isTable || (beginsBlock(line) && this.depth < MAX_DEPTH)) break;
      body.push(line);
    }
    return { type: 'paragraph', inline: parseInline(body.map((line) => line.trim()).join('\n')) };
  }
}

/**
 * Return the blocks of a text.
 * @param {string} text
 */
export const parseMarkdown = (text) => new Reader(text.replace(/\r\n?/g, '\n').replace(/\t/g, '    ').split('\n'), 0).blocks();
