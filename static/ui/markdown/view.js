// @ts-check
/**
 * Markdown on the screen. Elements are made by name and text is set as text: whatever a model
 * writes, it cannot become markup, load anything or run.
 */

import { t } from '../../messages/messages.js';
import { make } from '../dom.js';
import { parseMarkdown } from './markdown.js';

/** @import {Block} from './markdown.js' */
/** @import {Inline} from './inline.js' */

/** @param {Inline} part @returns {(Node|string)[]} */
function inlineNodes(part) {
  if (part.type === 'text') return [part.text];
  if (part.type === 'code') return [make('code', { text: part.text })];
  if (part.type === 'link') {
    const anchor = make('a', { href: part.href, rel: 'noopener noreferrer nofollow', target: '_blank', text: part.text });
    return part.text === part.href ? [anchor] : [anchor, make('span', { class: 'md-address', text: ` (${part.href})` })];
  }
  const tag = /** @type {const} */ ({ strong: 'strong', em: 'em', strike: 's' })[part.type];
  return [make(tag, {}, ...part.inline.flatMap(inlineNodes))];
}

/** @param {Inline[]} parts */
const nodes = (parts) => parts.flatMap(inlineNodes);

/** @param {string} text @param {string} language */
function codeBlock(text, language) {
  const copy = make('button', { type: 'button', class: 'link md-copy', text: t('Copy') });
  copy.addEventListener('click', () => {
    const said = (/** @type {string} */ word) => (copy.textContent = word);
    navigator.clipboard.writeText(text).then(() => said(t('Copied')), () => said(t('Could not copy')));
  });
  const bar = make('div', { class: 'md-code-bar' }, make('span', { text: language }), copy);
  const body = make('pre', { tabindex: '0', 'aria-label': language ? t('Code, {language}', { language }) : t('Code') }, make('code', { text }));
  return make('div', { class: 'md-code' }, bar, body);
}

/** @param {Block} block @returns {HTMLElement} */
function blockNode(block) {
  switch (block.type) {
    case 'heading':
      // One heading of the page names the chat; those of an answer lie below it.
      return make('p', { class: `md-h md-h${block.level}`, role: 'heading', 'aria-level': String(Math.min(6, block.level + 2)) }, ...nodes(block.inline));
    case 'code':
      return codeBlock(block.text, block.language);
    case 'rule':
      return make('hr');
    case 'quote':
      return make('blockquote', {}, ...block.blocks.map(blockNode));
    case 'list': {
      const items = block.items.map((item) => make('li', {}, ...item.map(blockNode)));
      return block.start === null ? make('ul', {}, ...items) : make('ol', { start: String(block.start) }, ...items);
    }
    case 'table': {
      const head = make('tr', {}, ...block.head.map((cell) => make('th', { scope: 'col' }, ...nodes(cell))));
      const rows = block.rows.map((row) => make('tr', {}, ...row.map((cell) => make('td', {}, ...nodes(cell)))));
      return make('div', { class: 'md-table', tabindex: '0' }, make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows)));
    }
    default:
      return make('p', {}, ...nodes(block.inline));
  }
}

/**
 * Show a text as Markdown.
 * @param {HTMLElement} place
 * @param {string} text
 */
export function showMarkdown(place, text) {
  place.replaceChildren(...parseMarkdown(text).map(blockNode));
}
