// @ts-check
/** What a run would learn from: its first windows token by token, counts, repeated lines. */

import { state, watch } from '../store.js';
import { button, byId, element, make, setText } from './dom.js';
import { formatCount } from './format.js';
import { runRequest } from './plan.js';

/** @import {Studio} from '../api.js' */
/** @import {Preview, PreviewToken} from '../types.js' */

/** @param {number} count @param {string} one @param {string} [many] */
const counted = (count, one, many = `${one}s`) => `${formatCount(count)} ${count === 1 ? one : many}`;

/** @param {Preview} preview @returns {string[]} */
function facts(preview) {
  const lines = [
    `${counted(preview.num_documents, 'document')}, ${counted(preview.num_tokens, 'token')} in ${counted(preview.num_windows, 'window')}; ${counted(preview.num_eval_windows, 'window')} kept for evaluation.`,
    `${Math.round(100 * preview.occupancy)} % of the windows’ room holds text; the rest, ${counted(preview.num_padding, 'place')}, is padding.`,
  ];
  if (preview.num_cut) lines.push(`${counted(preview.num_cut, 'document is', 'documents are')} longer than a window and cut into pieces.`);
  if (preview.num_dropped) lines.push(`${counted(preview.num_dropped, 'token is', 'tokens are')} in no window: too few at an end to learn from.`);
  if (preview.num_repeated) {
    lines.push(`${counted(preview.num_repeated, 'line repeats', 'lines repeat')} an earlier one, ${formatCount(preview.num_nearly)} of them only nearly: what is repeated is learnt by heart first.`);
  }
  return lines;
}

/** @param {PreviewToken} token */
function mark(token) {
  const node = make('span', { class: `token${token.is_learned ? '' : ' unlearned'}${token.is_first ? ' first' : ''}`, text: token.text.replaceAll('\n', '⏎\n') });
  if (token.is_first) node.title = 'A document begins here';
  return node;
}

/** @param {Preview} preview */
function show(preview) {
  element('preview-facts').replaceChildren(...facts(preview).map((text) => make('li', { text })));
  element('preview-windows').replaceChildren(...preview.windows.map((tokens, index) => make(
    'figure', {}, make('figcaption', { text: `Window ${index + 1}: ${counted(tokens.length, 'token')}` }), make('p', { class: 'tokens' }, ...tokens.map(mark)),
  )));
  const repeated = element('preview-repeated');
  repeated.replaceChildren(...preview.repeated.map(({ example, count, is_exact: isExact }) => make('li', { text: `${formatCount(count)} ×${isExact ? '' : ' nearly'}: ${example}` })));
  repeated.hidden = preview.repeated.length === 0;
}

/** @param {Studio} studio */
export function mountPreview(studio) {
  const dialog = byId('preview-dialog', HTMLDialogElement);
  const open = button('preview-open');
  let turn = 0;
  watch(['hasCorpus', 'model', 'status'], () => {
    open.disabled = !state.hasCorpus || !state.model;
  });
  open.addEventListener('click', async () => {
    const mine = ++turn;
    const note = element('preview-note');
    for (const id of ['preview-facts', 'preview-windows', 'preview-repeated']) element(id).replaceChildren();
    setText(note, 'Reading the text…');
    dialog.showModal();
    try {
      /** @type {Preview} */
      const preview = await studio.request('preview', runRequest());
      if (mine !== turn) return;
      show(preview);
      setText(note, 'Each mark is a token. Grey ones are read and not learnt; a bar is where a document begins.');
    } catch (error) {
      if (mine === turn) setText(note, error instanceof Error ? error.message : String(error));
    }
  });
}
