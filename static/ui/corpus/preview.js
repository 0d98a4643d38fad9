// @ts-check
/** What a run would learn from: its first windows token by token, counts, repeated lines. */

import { plural, t } from '../../messages/messages.js';
import { state, watch } from '../../store.js';
import { button, byId, element, make, setText } from '../dom.js';
import { runRequest } from '../plan/plan.js';

/** @import {Studio} from '../../api.js' */
/** @import {Preview, PreviewToken} from '../../types.js' */

/** @param {number} count */
const windows = (count) => plural(count, { one: '{count} window', other: '{count} windows' });

/** @param {Preview} preview @returns {string[]} */
function facts(preview) {
  const lines = [
    t('{documents}, {tokens} in {windows}; {kept} kept for evaluation.', {
      documents: preview.num_documents === 1 ? t('One text') : plural(preview.num_documents, { one: '{count} document', other: '{count} documents' }),
      tokens: plural(preview.num_tokens, { one: '{count} token', other: '{count} tokens' }),
      windows: windows(preview.num_windows),
      kept: windows(preview.num_eval_windows),
    }),
    plural(preview.num_padding, {
      one: '{percent} % of the windows’ room holds text; the rest, {count} place, is padding.',
      other: '{percent} % of the windows’ room holds text; the rest, {count} places, is padding.',
    }, { percent: Math.round(100 * preview.occupancy) }),
  ];
  for (const { name, columns: [first = '', second] } of preview.tables) {
    lines.push(second === undefined ? t('{name}: the column {text} is learnt.', { name, text: first })
      : t('{name}: the column {prompt} is read, {completion} is learnt.', { name, prompt: first, completion: second }));
  }
  if (preview.num_cut) {
    lines.push(plural(preview.num_cut, { one: '{count} document is longer than a window and cut into pieces.', other: '{count} documents are longer than a window and cut into pieces.' }));
  }
  if (preview.num_dropped) {
    lines.push(plural(preview.num_dropped, { one: '{count} token is in no window: too few at an end to learn from.', other: '{count} tokens are in no window: too few at an end to learn from.' }));
  }
  if (preview.num_repeated) {
    lines.push(plural(preview.num_repeated, {
      one: '{count} line repeats an earlier one, {nearly} of them only nearly: what is repeated is learnt by heart first.',
      other: '{count} lines repeat an earlier one, {nearly} of them only nearly: what is repeated is learnt by heart first.',
    }, { nearly: preview.num_nearly }));
  }
  return lines;
}

/** @param {PreviewToken} token */
function marked(token) {
  const node = make('span', { class: `token${token.is_learned ? '' : ' unlearned'}${token.is_first ? ' afresh' : ''}`, text: token.text.replaceAll('\n', '⏎\n') });
  if (token.is_first) node.title = t('From here on nothing before is seen');
  return node;
}

/** @param {Preview} preview */
function show(preview) {
  element('preview-facts').replaceChildren(...facts(preview).map((text) => make('li', { text })));
  element('preview-windows').replaceChildren(...preview.windows.map((tokens, index) => make(
    'figure', {}, make('figcaption', { text: plural(tokens.length, { one: 'Window {number}: {count} token', other: 'Window {number}: {count} tokens' }, { number: index + 1 }) }), make('p', { class: 'tokens', dir: 'auto', translate: 'no' }, ...tokens.map(marked)),
  )));
  const repeated = element('preview-repeated');
  repeated.replaceChildren(...preview.repeated.map(({ example, count, is_exact: isExact }) => make('li', { translate: 'no', text: isExact ? t('{number} ×: {example}', { number: count, example }) : t('{number} × nearly: {example}', { number: count, example }) })));
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
    setText(note, '');
    const waiting = state.plan ? t('Reading the text…') : t('Reading the text, and measuring this device first where that is not done: by it the windows are chosen…');
    element('preview-facts').append(make('li', { text: waiting }));
    dialog.showModal();
    try {
      /** @type {Preview} */
      const preview = await studio.request('preview', runRequest());
      if (mine !== turn) return;
      show(preview);
      setText(note, t('Each mark is a token. Grey ones are read and not learnt; from a bar on, the model sees nothing of what is before it.'));
    } catch (error) {
      if (mine !== turn) return;
      element('preview-facts').replaceChildren();
      setText(note, t(error instanceof Error ? error.message : String(error)));
    }
  });
}
