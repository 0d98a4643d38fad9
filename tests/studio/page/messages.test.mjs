// Every message has its translation, with the same values in it; and no words pass by `t`.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as format from '../../../static/ui/format.js';
import { LANGUAGES, learn, plural, sayAgain, switchLanguage, t, useCatalogue } from '../../../static/messages/messages.js';
import { HOLE, htmlTexts, literals, messageKind, placeholders } from './messages.mjs';

const ROOT = new URL('../../..', import.meta.url);
/** @param {string} path */
const read = (path) => readFileSync(new URL(path, ROOT), 'utf8');
/** @param {string} folder @param {string} end */
const filesIn = (folder, end) => readdirSync(new URL(folder, ROOT), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(end))
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(ROOT.pathname.length))
  .sort();

/** All but a table of characters. */
const SCRIPTS = filesIn('static', '.js').filter((path) => !path.endsWith('unicode-classes.js'));
const SOURCES = SCRIPTS.map((path) => ({ path, found: literals(read(path)) }));
/** The same in every language: names, and words of files and programs. */
const NAMES = new Set(JSON.parse(read('tests/studio/page/names.json')));

/** Every message, with where it stands. @type {Map<string, string>} */
const messages = new Map();
for (const { path, found } of SOURCES) {
  for (const literal of found) {
    const kind = messageKind(literal);
    if (kind && /\p{L}/u.test(literal.text) && !(kind === 'plural' && literal.key === 'one')) messages.set(literal.text, `${path}:${literal.line}`);
  }
}
for (const path of ['static/index.html', 'static/bench.html']) {
  for (const text of htmlTexts(read(path))) if (!NAMES.has(text)) messages.set(text, path);
}
for (const { title, description } of JSON.parse(read('static/samples/index.json'))) {
  for (const text of [title, description]) messages.set(text, 'static/samples/index.json');
}
/** Python's messages, and whether each depends on a number. @type {Record<string, boolean>} */
const PYTHON = JSON.parse(read('tests/studio/page/python.json'));
for (const text of Object.keys(PYTHON)) if (!NAMES.has(text)) messages.set(text, 'app/');

for (const name of Object.keys(LANGUAGES).filter((language) => language !== 'en')) {
  const path = `static/messages/${name}.json`;
  /** @type {Record<string, string|Record<string, string>>} */
  const catalogue = JSON.parse(read(path));

  test(`${name}: every message has its translation`, () => {
    const missing = [...messages].filter(([text]) => !Object.hasOwn(catalogue, text)).map(([text, where]) => `${where}: ${JSON.stringify(text)}`);
    assert.deepEqual(missing, [], `add these to ${path}, or where they are names, to names.json`);
  });

  test(`${name}: nothing is translated that is said nowhere`, () => {
    assert.deepEqual(Object.keys(catalogue).filter((text) => !messages.has(text)), [], `remove these from ${path}`);
  });

  test(`${name}: the values are those of the message`, () => {
    for (const [english, entry] of Object.entries(catalogue)) {
      for (const text of typeof entry === 'string' ? [entry] : Object.values(entry)) {
        assert.ok(text.trim(), `${english} has an empty translation`);
        assert.equal(text, text.trim());
        const wanted = placeholders(english);
        const given = placeholders(text);
        const without = wanted.filter((value) => value !== 'count');
        assert.ok([String(wanted), typeof entry === 'string' ? '' : String(without)].includes(String(given)), `${english}: ${text}`);
      }
    }
  });

  test(`${name}: what depends on a number has the forms of the language`, () => {
    const forms = new Intl.PluralRules(name).resolvedOptions().pluralCategories.filter((form) => form !== 'many').sort();
    const counted = SOURCES.flatMap(({ found }) => found.filter((literal) => messageKind(literal) === 'plural' && literal.key === 'other'));
    for (const { text } of counted) assert.deepEqual(Object.keys(catalogue[text]).sort(), forms, text);
    const all = new Set([...counted.map(({ text }) => text), ...Object.keys(PYTHON).filter((text) => PYTHON[text])]);
    for (const text of all) assert.deepEqual(Object.keys(catalogue[text]).sort(), forms, text);
    for (const [text, entry] of Object.entries(catalogue)) assert.ok(typeof entry === 'string' || all.has(text), `${text} depends on no number`);
  });

  test(`${name}: the catalogue is sorted, so that two who add to it rarely meet`, () => {
    const keys = Object.keys(catalogue);
    assert.deepEqual(keys, [...keys].sort((a, b) => (a < b ? -1 : 1)));
    assert.equal(keys.length, new Set([...read(path).matchAll(/^ {1}"((?:[^"\\]|\\.)*)":/gm)].map(([, key]) => key)).size, 'a message stands there twice');
    assert.equal(read(path), `${JSON.stringify(catalogue, null, 1)}\n`);
  });
}

test('a message is one literal', () => {
  for (const { path, found } of SOURCES) {
    for (const literal of found) {
      if (messageKind(literal)) assert.ok(!literal.text.includes(HOLE), `${path}:${literal.line}: values go in {braces}, not in \${}`);
    }
  }
});

/** Calls and properties whose strings are for programs. */
const FOR_PROGRAMS = /(^|\.)(querySelector|querySelectorAll|closest|matches|getElementById|addEventListener|mark|info|warn|URL|register|getAttribute|setAttribute|getPropertyValue|matchMedia|replaceAll|replace|split|join|startsWith|endsWith|includes|Map|Set)$/;
const KEYS_FOR_PROGRAMS = new Set(['class', 'id', 'type', 'rel', 'font', 'accept', 'style', 'mediaType', 'inputmode', 'd', 'pathname', 'Content-Type']);
/** Where words meet the person. */
const SHOWN_KEYS = new Set(['text', 'title', 'label', 'placeholder', 'alt', 'aria-label', 'aria-description', 'aria-valuetext', 'phase', 'help', 'found', 'note']);
const SHOWN_BY = /(^|\.)(setText|showError|showNotice|announce|append|alert|confirm|Error|StudioError|Refused|missing|stage|said)$/;
/** Arguments of these that are names for programs. */
const NAMES_IN = [['showNotice', 0], ['clearNotice', 0], ['StudioError', 1]];
/** Units are the same in all languages that there are. */
const UNITS = /(?<!\p{L})(kB|MB|GB|min|lora-lab)(?!\p{L})/gu;
const SHOWN_AFTER = /\.(textContent|innerText|title|placeholder|ariaLabel|label|value)\s*=$/;
const WORDS = new RegExp(`\\p{L}{2,}[,:;]? \\p{L}|(^|[.!?] )\\p{Lu}\\p{Ll}{2,}[….:?!]?$|\\p{L}{2,}[,:;]? ${HOLE}|${HOLE} \\p{L}{2,}`, 'u');
/** File → texts that are for programs all the same, or are shown in English on purpose. */
const ALLOWED = JSON.parse(read('tests/studio/page/not-messages.json'));

test('no words of the page pass by the catalogue', () => {
  const used = new Set();
  const leaks = [];
  for (const { path, found } of SOURCES) {
    for (const literal of found) {
      const { text, callee, key, argument, before, isKey } = literal;
      if (messageKind(literal) || isKey || !/\p{L}{2}/u.test(text.replace(UNITS, ''))) continue;
      if (/(===|!==|case)$/.test(before)) continue;
      if (NAMES_IN.some(([name, index]) => callee.endsWith(String(name)) && argument === index)) continue;
      const isShown = SHOWN_KEYS.has(key) || SHOWN_BY.test(callee) || SHOWN_AFTER.test(before)
        || (callee.endsWith('setAttribute') && argument === 1 && /'' *,$/.test(before) && WORDS.test(text));
      const isForPrograms = FOR_PROGRAMS.test(callee) || KEYS_FOR_PROGRAMS.has(key);
      const isWords = isShown || (!isForPrograms && WORDS.test(text.replace(UNITS, '')));
      if (!isWords || NAMES.has(text)) continue;
      if (ALLOWED[path]?.includes(text)) used.add(`${path} ${text}`);
      else leaks.push(`${path}:${literal.line}: ${JSON.stringify(text)}`);
    }
  }
  assert.deepEqual(leaks, [], 'say these through t()');
  const listed = Object.entries(ALLOWED).flatMap(([path, texts]) => texts.map((/** @type {string} */ text) => `${path} ${text}`));
  assert.deepEqual(listed.filter((item) => !used.has(item)), [], 'remove these from not-messages.json');
});

test('the search finds words wherever they are written', () => {
  const found = literals("const a = /it's/; f(x, `one ${t('Two {n}', { n: `x ${'y'}` })} three`, { one: 'four' }); // 'no'\nplural(n, { one: '1', other: 'many' });");
  assert.deepEqual(found.filter(messageKind).map(({ text }) => text), ['Two {n}', '1', 'many']);
  assert.deepEqual(found.map(({ text }) => text).sort(), ['1', 'Two {n}', 'four', 'many', `one ${HOLE} three`, `x ${HOLE}`, 'y'].sort());
});

test('words and numbers follow the language, also those that stand on the screen', async () => {
  const german = { 'Step {step} of {total}': 'Schritt {step} von {total}', '{count} tokens': { one: 'ein Token', other: '{count} Token' }, Stop: 'Anhalten', 'It is {what}.': 'Es ist {what}.', 'it is {what}': 'nämlich {what}' };
  const said = [t('Step {step} of {total}', { step: 3, total: 1200 }), plural(1, { one: '{count} token', other: '{count} tokens' }), format.formatLoss(1.25), 'Stop', t('{loss} here', { loss: format.formatLoss(2.5) })];
  assert.deepEqual(said, ['Step 3 of 1,200', '1 token', '1.250', 'Stop', '2.500 here']);
  learn([{ text: 'It is too big.', template: 'It is {what}.', values: { what: '1,234.5 MB' }, whole: false }]);
  learn([{ text: 'It is 3.5.', template: 'it is {what}', values: { what: { text: 'small', template: 'It is {what}.', values: { what: 'small' }, whole: false } }, whole: true }]);
  assert.equal(t('It is too big.'), 'It is too big.');
  useCatalogue('de', german);
  assert.deepEqual(said.map((text) => sayAgain(text)), ['Schritt 3 von 1.200', 'ein Token', '1,250', 'Anhalten', '2,500 here']);
  assert.equal(sayAgain('nobody said this'), undefined);
  assert.equal(t('It is too big.'), 'Es ist 1.234,5 MB.');
  assert.equal(t('It is 3.5.'), 'Nämlich Es ist small.');
  assert.equal(plural(3, { one: '{count} token', other: '{count} tokens' }), '3 Token');
  const back = [t('Stop'), format.formatCount(1200), format.formatBytes(2_500_000_000)];
  assert.deepEqual(back, ['Anhalten', '1.200', '2,50 GB']);
  let told = 0;
  await switchLanguage('en', () => {
    told += 1;
    assert.deepEqual(back.map((text) => sayAgain(text)), ['Stop', '1,200', '2.50 GB']);
    assert.equal(sayAgain('Es ist 1.234,5 MB.'), 'It is too big.');
  });
  assert.equal(told, 1);
});

test('of languages chosen one after the other the last one wins, whichever comes first', async () => {
  const plain = globalThis.fetch;
  /** @type {(() => void)[]} */
  const arrive = [];
  globalThis.fetch = /** @type {any} */ (() => new Promise((resolve) => {
    arrive.push(() => resolve(new Response(read('static/messages/de.json'))));
  }));
  let told = 0;
  const replace = () => { told += 1; };
  try {
    const first = switchLanguage('de', replace);
    const second = switchLanguage('en', replace);
    await second;
    arrive[0]?.();
    await first;
    assert.equal(t('Stop'), 'Stop');
    assert.equal(told, 1);

    const [slow, quick] = [switchLanguage('de', replace), switchLanguage('de', replace)];
    arrive[2]?.();
    await quick;
    assert.equal(t('Stop'), 'Stopp');
    arrive[1]?.();
    await slow;
    assert.equal(told, 2);
    await switchLanguage('en', replace);
  } finally {
    globalThis.fetch = plain;
  }
});

test('a number in a sentence keeps its digits', () => {
  assert.equal(t('{rate} of {count}', { rate: 0.00025, count: 12500 }), '0.00025 of 12,500');
  assert.equal(format.formatFixed(12500, 2), '12,500.00');
  assert.equal(format.formatLoss(12500.25), '12,500.3');
});
