// Finds messages, and words that are none: in JavaScript, in HTML.

/** What stands where a template literal has a value. */
export const HOLE = '\uFFFC';

/**
 * @typedef {object} Literal a string or a template literal of a JavaScript source
 * @property {string} text with HOLE for each value of a template
 * @property {number} line
 * @property {string} callee of the innermost call around it, '' where it lies in a literal of another kind
 * @property {number} argument which one of the call it is in
 * @property {string} key of the property that it is the value of
 * @property {string} outer callee of the call around the object literal it is in
 * @property {number} outerArgument
 * @property {string} before what stands just before it
 * @property {boolean} isKey of a property, or a module's address
 */

const REGEX_AFTER = /(^|[=(,:;!&|?{}[\n+\-*~<>%^]|=>|\b(return|typeof|case|in|of|do|else|void|await|yield))$/;

/**
 * @param {string} source
 * @returns {Literal[]}
 */
export function literals(source) {
  /** @type {Literal[]} */
  const found = [];
  /** @type {{open: string, callee: string, argument: number, key: string}[]} */
  const stack = [];
  let at = 0;
  let code = ''; // what was read, without comments and the insides of literals
  const line = () => source.slice(0, at).split('\n').length;

  /** @param {string} text @param {number} where */
  const note = (text, where) => {
    const [outer, inner] = [stack.at(-2), stack.at(-1)];
    const isObject = inner?.open === '{' && outer?.open === '(';
    found.push({
      text, line: source.slice(0, where).split('\n').length,
      callee: inner?.open === '(' ? inner.callee : '', argument: inner?.argument ?? 0, key: inner?.open === '{' ? inner.key : '',
      outer: isObject ? outer.callee : '', outerArgument: isObject ? outer.argument : 0,
      before: code.slice(-60).trimEnd(),
      isKey: /^\s*:/.test(source.slice(at)) && /[{,]$/.test(code.trimEnd()) && inner?.open === '{' || /\b(from|import)\s*$/.test(code),
    });
  };

  /** @param {string} quote */
  const string = (quote) => {
    const start = at;
    let text = '';
    for (at += 1; source[at] !== quote; at += 1) {
      if (source[at] !== '\\') text += source[at];
      else {
        at += 1;
        const unicode = /^u\{?([0-9a-fA-F]{2,6})\}?/.exec(source.slice(at, at + 9));
        if (unicode) {
          text += String.fromCodePoint(parseInt(unicode[1], 16));
          at += unicode[0].length - 1;
        } else text += { n: '\n', t: '\t' }[source[at]] ?? source[at];
      }
      if (at >= source.length) throw new Error(`line ${line()}: a string does not end`);
    }
    at += 1;
    note(text, start);
    code += "''";
  };

  const template = () => {
    const start = at;
    let text = '';
    at += 1;
    const [depth, codeBefore] = [stack.length, code];
    while (source[at] !== '`') {
      if (source.startsWith('${', at)) {
        text += HOLE;
        at += 2;
        stack.push({ open: '${', callee: '', argument: 0, key: '' });
        code += '${';
        read(depth);
      } else {
        if (source[at] === '\\') at += 1;
        text += source[at];
        at += 1;
      }
      if (at >= source.length) throw new Error(`line ${line()}: a template does not end`);
    }
    at += 1;
    code = codeBefore;
    note(text, start);
    code += '``';
  };

  /** Read code until the stack is as deep as before. @param {number} until */
  function read(until) {
    while (at < source.length) {
      const here = source[at];
      if (source.startsWith('//', at)) {
        at = source.indexOf('\n', at) < 0 ? source.length : source.indexOf('\n', at);
      } else if (source.startsWith('/*', at)) {
        at = source.indexOf('*/', at) + 2;
      } else if (here === "'" || here === '"') string(here);
      else if (here === '`') template();
      else if (here === '/' && REGEX_AFTER.test(code.trimEnd().slice(-12))) {
        let inClass = false;
        for (at += 1; source[at] !== '/' || inClass; at += 1) {
          if (source[at] === '\\') at += 1;
          else if (source[at] === '[') inClass = true;
          else if (source[at] === ']') inClass = false;
        }
        at += 1;
        code += ' 0';
      } else if (here === '(' || here === '[' || here === '{') {
        const callee = here === '(' ? (/([\w$.]+)\s*$/.exec(code.replace(/\?\./g, '.'))?.[1] ?? '') : '';
        stack.push({ open: here, callee, argument: 0, key: '' });
        code += here;
        at += 1;
      } else if (here === ')' || here === ']' || here === '}') {
        const closed = stack.pop();
        code += here;
        at += 1;
        if (closed?.open === '${' && stack.length === until) return;
      } else {
        const inner = stack.at(-1);
        if (here === ',' && inner) {
          inner.argument += 1;
          inner.key = '';
        }
        if (here === ':' && inner?.open === '{') {
          const name = /(?:([\w$]+)|'')\s*$/.exec(code);
          const isKey = /[{,]\s*(?:[\w$]+|'')\s*$/.test(code);
          if (name && isKey) inner.key = name[1] ?? found.at(-1)?.text ?? '';
        }
        code += here;
        at += 1;
      }
    }
  }
  read(-1);
  return found;
}

/** @param {Literal} literal @returns {'t'|'mark'|'plural'|''} in what way it is a message */
export function messageKind({ callee, argument, outer, outerArgument, key }) {
  if ((callee === 't' || callee === 'mark' || callee === 'say') && argument === 0) return callee === 't' ? 't' : 'mark';
  return outer === 'plural' && outerArgument === 1 && (key === 'one' || key === 'other') ? 'plural' : '';
}

/** @param {string} text @returns {string[]} names of the values in a message, sorted */
export const placeholders = (text) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))].sort();

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', nbsp: '\u00a0' };
/** @param {string} text */
const plain = (text) => text.replace(/&(\w+);/g, (all, name) => ENTITIES[name] ?? all).replace(/\s+/gu, ' ').trim();

/**
 * The words of a page: texts, and attributes that are read out or shown.
 * @param {string} html
 * @returns {string[]}
 */
export function htmlTexts(html) {
  const body = html.replace(/<!--[\s\S]*?-->/g, '').replace(/<(script|style|code|noscript)\b[\s\S]*?<\/\1>/g, (all, name) => `<${name}></${name}>`);
  // As in messages/document.js; elements without another of their kind inside.
  const said = body.replace(/<(\w+)\b[^>]*\stranslate="no"[^>]*>[\s\S]*?<\/\1>/g, '<$1></$1>');
  const found = said.split(/<[^>]*>/).map(plain);
  for (const [tag] of body.matchAll(/<[^>]*>/g)) {
    for (const [, , value] of tag.matchAll(/\s(placeholder|aria-label|title|alt|label)="([^"]*)"/g)) found.push(plain(value));
    if (/^<meta name="description"/.test(tag)) found.push(plain(/content="([^"]*)"/.exec(tag)?.[1] ?? ''));
  }
  return [...new Set(found)].filter((text) => /\p{L}{2}/u.test(text));
}
