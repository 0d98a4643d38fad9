// @ts-check
/**
 * The page's words, in the language of the person. A message is its English text; a catalogue
 * (`de.json`, …) has the other language's beside it. What is not in a catalogue stays English.
 *
 *     t('Load adapter…')
 *     t('Step {step} of {total}', { step: 3, total: 1200 })            numbers as the language writes them
 *     plural(count, { one: '{count} token', other: '{count} tokens' }) the key is the `other` form
 *
 * Whole sentences, never pieces: word order differs. What was said is remembered, so that
 * another language can be chosen while the page is in use (`switchLanguage`).
 */

import { keep, kept } from '../kept/kept.js';

/** @typedef {string|number} Value */
/** @typedef {Record<string, any>} Values */
/** @typedef {Record<string, string|Record<string, string>>} Catalogue */
/** @typedef {{text: string, template: string, values: Values, whole: boolean}} Told a sentence of Python's; `whole`: with a capital letter and a full stop */

/** By the name in `lang`: what it calls itself, and how it writes numbers. @type {Record<string, {name: string, locale: string}>} */
export const LANGUAGES = { en: { name: 'English', locale: 'en-US' }, de: { name: 'Deutsch', locale: 'de-DE' } };

/** Sentences with values that are remembered at most: those of a few screens. */
const REMEMBERED = 3000;

/** @type {Catalogue} */
let catalogue = {};
let language = 'en';
/** Counts what the person has chosen. */
let chosen = 0;
/** What is on the screen → how to say it in another language. @type {Map<string, () => string>} */
let fixed = new Map();
/** @type {Map<string, () => string>} */
let composed = new Map();
/** What was said in the language before, while it is being replaced. @type {(text: string) => (() => string)|undefined} */
let former = () => undefined;
/** Python's sentences, by their English text. @type {Map<string, Told>} */
const told = new Map();
/** @type {(() => void)[]} */
const listeners = [];

/** The language of the page, as `lang` names it. */
export const currentLanguage = () => language;
export const locale = () => /** @type {{locale: string}} */ (LANGUAGES[language]).locale;

/** @param {Map<string, any>} map @param {string} key @param {any} value */
function remember(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(/** @type {string} */ (map.keys().next().value));
}

/**
 * Note how to say a text again in another language.
 * @param {string} text as it is said now
 * @param {() => string} again
 */
export function said(text, again) {
  remember(composed, text, again);
  return text;
}

/** What was said before, in the language of now. @param {string} text @returns {string|undefined} */
export const sayAgain = (text) => former(text)?.() ?? (Object.hasOwn(catalogue, text) || told.has(text) ? t(text) : undefined);

/** A number that Python has written, the way the language writes it; other words stay as they are. @param {string} text */
function localised(text) {
  if (language === 'en' || !/^[<≈]?\s?-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[-+]?\d+)?( \S+| ?%)?$/.test(text)) return text;
  const parts = new Intl.NumberFormat(locale()).formatToParts(1234.5);
  const sign = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return text.replace(/[.,]/g, (mark) => (mark === '.' ? sign['decimal'] : sign['group']) ?? mark);
}

/** A sentence of Python's in the language of the page. @param {Told} sentence @returns {string} */
function pythonSays({ text, template, values, whole }) {
  if (!Object.hasOwn(catalogue, template)) return text;
  const own = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? (told.has(value) ? t(value) : localised(value)) : value]));
  const says = t(template, own);
  if (!whole) return says;
  const start = /^\p{L}+ /u.test(says) ? says.charAt(0).toLocaleUpperCase(locale()) + says.slice(1) : says;
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

/** @param {unknown} value @returns {string} */
function written(value) {
  // What is below one keeps its digits: a rate of 0.0005 is no 0.001.
  if (typeof value === 'number') return new Intl.NumberFormat(locale(), Math.abs(value) < 1 ? { maximumSignificantDigits: 4 } : { maximumFractionDigits: 3 }).format(value);
  if (value && typeof value === 'object' && 'template' in value) return pythonSays(/** @type {Told} */ (value));
  return former(String(value))?.() ?? String(value);
}

/** @param {string} template @param {Values|undefined} values */
const fill = (template, values) => (values ? template.replace(/\{(\w+)\}/g, (all, name) => (Object.hasOwn(values, name) ? written(values[name]) : all)) : template);

/**
 * A text in the language of the page.
 * @param {string} english the message, with `{name}` where values go
 * @param {Values} [values]
 * @returns {string}
 */
export function t(english, values) {
  const entry = Object.hasOwn(catalogue, english) ? catalogue[english] : undefined;
  if (values) {
    const form = entry && typeof entry === 'object' ? entry[new Intl.PluralRules(locale()).select(values['count'])] ?? entry['other'] : entry;
    return said(fill(form ?? english, values), () => t(english, values));
  }
  if (typeof entry === 'string') {
    fixed.set(entry, () => t(english));
    return entry;
  }
  const python = told.get(english);
  return python && language !== 'en' ? said(pythonSays(python), () => t(english)) : english;
}

/**
 * A text that depends on a number; `{count}` in it is that number.
 * @param {number} count
 * @param {{one: string, other: string}} english the catalogue knows it by `other`
 * @param {Values} [values]
 * @returns {string}
 */
export function plural(count, english, values = {}) {
  const entry = Object.hasOwn(catalogue, english.other) ? catalogue[english.other] : undefined;
  /** @type {any} */
  const forms = entry === undefined ? english : typeof entry === 'string' ? { other: entry } : entry;
  const form = new Intl.PluralRules(entry === undefined ? 'en' : locale()).select(count);
  return said(fill(forms[form] ?? forms.other, { count, ...values }), () => plural(count, english, values));
}

/**
 * Take note of sentences that Python has sent along with what it tells: `t` then knows them.
 * @param {Told[]|undefined} sentences
 */
export function learn(sentences) {
  for (const sentence of sentences ?? []) remember(told, sentence.text, sentence);
}

/** Call `tell` whenever another language was chosen: what draws its words itself draws them anew. @param {() => void} tell */
export function onLanguage(tell) {
  listeners.push(tell);
}

/** @param {string} name @returns {Promise<Catalogue>} */
async function fetchCatalogue(name) {
  if (name === 'en') return {};
  const response = await fetch(new URL(`./${name}.json`, import.meta.url));
  if (!response.ok) throw new Error(`${name}.json could not be fetched (${response.status})`);
  return response.json();
}

/** The person's choice, else the first of the browser's languages that there is. */
function preferred() {
  const wanted = [kept('language'), ...(navigator.languages ?? [])];
  const names = wanted.map((name) => String(name ?? '').split('-')[0] ?? '');
  return names.find((name) => Object.hasOwn(LANGUAGES, name)) ?? 'en';
}

/** @param {string} name @param {Catalogue} words */
export function useCatalogue(name, words) {
  const [oldFixed, oldComposed] = [fixed, composed];
  [language, catalogue, fixed, composed] = [name, words, new Map(), new Map()];
  former = (text) => oldFixed.get(text) ?? oldComposed.get(text);
  if (typeof document !== 'undefined') document.documentElement.lang = name;
}

/**
 * Say everything in another language, and remember the choice.
 * @param {string} name one of LANGUAGES
 * @param {() => void} replace puts the words of the document into the new language
 */
export async function switchLanguage(name, replace) {
  const choice = ++chosen;
  const words = await fetchCatalogue(name);
  if (choice !== chosen) return; // another one was chosen while these words were on their way
  useCatalogue(name, words);
  keep('language', name);
  replace();
  former = () => undefined;
  for (const tell of listeners) tell();
}

// Only a page has a language; whoever imports this there waits for the catalogue, where there is one.
if (typeof document !== 'undefined') {
  const name = preferred();
  if (name !== 'en') {
    document.documentElement.dataset['words'] = 'coming'; // nothing is shown meanwhile: see base.css
    try {
      useCatalogue(name, await fetchCatalogue(name));
    } catch (error) {
      console.info('The page stays English:', error);
    }
  }
}
