// @ts-check
/**
 * Settings of a run in the fragment of an address: `#settings=rank:8,learning_rate:0.0005,steps:`.
 * A fragment never leaves the browser, and nothing but numbers and names of choices fits in here.
 */

import { t } from './messages/messages.js';

/** @import {Field, Setting} from './types.js' */

const MARK = 'settings=';
const MAX_CHARACTERS = 4_000;

/** What a link carries; words that a person types are none of them. */
const KINDS = ['int', 'float', 'choice', 'switch', 'modules'];

/**
 * The settings that a link should carry: those of the plan, or without one those that were changed.
 * @param {Field[]} fields
 * @param {Record<string, Setting>} planned
 * @param {Record<string, Setting>} edits
 */
export function settingsToShare(fields, planned, edits) {
  const all = { ...planned, ...edits };
  const shared = fields.filter((field) => KINDS.includes(field.kind) && Object.hasOwn(all, field.name));
  return Object.fromEntries(shared.map((field) => [field.name, all[field.name] ?? null]));
}

/** @param {Setting} value */
const asText = (value) => (Array.isArray(value) ? value.join('.') : value === null ? '' : String(value));

/**
 * The address that opens the page with these settings.
 * @param {string} page address of the page; a fragment of its own is left out
 * @param {Record<string, Setting>} settings
 */
export function linkTo(page, settings) {
  const parts = Object.entries(settings).map(([name, value]) => `${name}:${asText(value)}`);
  return `${page.split('#')[0]}${parts.length ? `#${MARK}${parts.join(',')}` : ''}`;
}

/**
 * Take the settings out of a fragment.
 * @param {string} hash with or without its #
 * @returns {{text: string|null, rest: string}} what stands after the mark, null where it is not there
 */
export function takeSettings(hash) {
  const parts = hash.replace(/^#/, '').split('&');
  const found = parts.find((part) => part.startsWith(MARK));
  return { text: found === undefined ? null : found.slice(MARK.length), rest: parts.filter((part) => part !== found).join('&') };
}

/**
 * @param {Field} field
 * @param {string} text
 * @returns {Setting|undefined} undefined: not a value of this setting
 */
function valueOf(field, text) {
  if (text === '' && field.optional) return null;
  switch (field.kind) {
    case 'choice': return field.choices.includes(text) ? text : undefined;
    case 'text': return undefined;
    case 'switch': return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'modules': {
      const names = text.split('.');
      return names.every((name) => field.choices.includes(name)) ? names : undefined;
    }
    case 'int': case 'float': return /^-?[\d.]+(e[-+]?\d+)?$/i.test(text) && Number.isFinite(Number(text)) ? Number(text) : undefined;
    default: return undefined;
  }
}

/**
 * Read what `linkTo` wrote; the range of numbers is Python's to judge.
 * @param {string} text after the mark
 * @param {Field[]} fields
 * @returns {{settings: Record<string, Setting>, problem: string}} a problem instead of settings where it is no such text
 */
export function readSettings(text, fields) {
  /** @param {string} problem */
  const refused = (problem) => ({ settings: {}, problem });
  if (text.length > MAX_CHARACTERS) return refused(t('it has {number} characters', { number: text.length }));
  let plain;
  try {
    plain = decodeURIComponent(text);
  } catch {
    return refused(t('it is cut off'));
  }
  /** @type {Record<string, Setting>} */
  const settings = {};
  for (const part of plain.split(',')) {
    const [name = '', ...rest] = part.split(':');
    const field = fields.find((candidate) => candidate.name === name);
    if (!field || rest.length !== 1) return refused(t('“{words}” is no setting', { words: part.slice(0, 40) }));
    if (Object.hasOwn(settings, name)) return refused(t('{setting} is given twice', { setting: t(field.label) }));
    const value = valueOf(field, rest[0] ?? '');
    if (value === undefined) return refused(t('{setting} cannot be “{words}”', { setting: t(field.label), words: rest[0]?.slice(0, 40) }));
    settings[name] = value;
  }
  return { settings, problem: '' };
}
