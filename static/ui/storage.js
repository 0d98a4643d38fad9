// @ts-check
/** The dialog of what is stored on this device, and the question whether it may stay. */

import { t } from '../messages/messages.js';
import { CHECKPOINTS, listStored, PAGE, storageFacts } from '../offline/stored.js';
import { isRunning, state, update, watch } from '../store.js';
import { button, byId, element, make, setText } from './dom.js';
import { formatBytes } from './format.js';

/** @import {Stored} from '../offline/stored.js' */

const TEXT = {
  reading: () => t('Looking…'),
  none: () => t('Nothing is stored on this device.'),
  noStorage: () => t('This browser lets the page store nothing: a private window, or storage is switched off.'),
  running: () => t('Nothing can be deleted while a run is on.'),
  persistent: () => t('The browser promised to keep it until you delete it.'),
  temporary: () => t('The browser may delete it when the disk fills up: it has not promised to keep it. It is asked again with each model and each run, and more often says yes to installed and bookmarked pages.'),
  offline: () => t('This page opens without a network.'),
  online: () => t('This page is not stored whole yet: it needs the network to open.'),
  busy: () => t('It is in use: try again when it is no longer being fetched.'),
};

/** Ask that what is stored survives when the disk fills up; a no changes nothing. */
async function askToKeep() {
  try {
    if (!(await navigator.storage.persisted())) await navigator.storage.persist();
  } catch {
    // Asked again with the next model or run.
  }
}

/** @param {string} label @param {string} about @param {() => Promise<void>} remove */
function removeButton(label, about, remove) {
  const press = make('button', { type: 'button', class: 'quiet', text: label, 'aria-label': t('{action}: {what}', { action: label, what: about }) });
  press.disabled = isRunning();
  press.addEventListener('click', async () => {
    if (!press.dataset['sure']) {
      press.dataset['sure'] = 'yes';
      setText(press, t('Delete for good?'));
      press.setAttribute('aria-label', t('Delete {what} for good?', { what: about }));
      return;
    }
    press.disabled = true;
    try {
      await remove();
      await show();
      button('storage-close').focus();
    } catch {
      setText(element('storage-note'), TEXT.busy());
      press.disabled = false;
    }
  });
  return press;
}

/** @param {Stored} stored */
function row({ kind: english, name, bytes, note, remove }) {
  const kind = t(english);
  const title = make('th', { scope: 'row' }, name || kind);
  const small = [name ? kind : '', note && t(note)].filter(Boolean).join('; ');
  if (small) title.append(make('small', { text: small }));
  return make('tr', {}, title, make('td', { text: formatBytes(bytes) }), make('td', {}, removeButton(t('Delete'), name || kind, remove)));
}

async function show() {
  const [list, facts] = await Promise.all([listStored(), storageFacts()]);
  element('storage-list').replaceChildren(...list.map(row));
  // What is no longer there cannot be gone on with.
  if (state.resumable && !list.some(({ kind }) => kind === CHECKPOINTS)) update({ resumable: null });
  if (state.isKept && !list.some(({ kind }) => kind === PAGE)) update({ isKept: false });
  const lines = [];
  if (!facts) lines.push(TEXT.noStorage());
  else {
    lines.push(list.length ? t('{used} in use, of {quota} that the browser would give, as it estimates itself.', { used: formatBytes(facts.usage), quota: formatBytes(facts.quota) }) : TEXT.none());
    lines.push(facts.isPersistent ? TEXT.persistent() : TEXT.temporary(), state.isKept ? TEXT.offline() : TEXT.online());
  }
  element('storage-facts').replaceChildren(...lines.map((text) => make('li', { text })));
  const all = removeButton(t('Delete everything'), t('all of this list'), async () => {
    for (const { remove } of list) await remove();
  });
  all.disabled ||= !list.length;
  element('storage-all').replaceChildren(all);
  setText(element('storage-note'), isRunning() ? TEXT.running() : '');
}

export function mountStorage() {
  const dialog = byId('storage-dialog', HTMLDialogElement);
  button('storage-open').addEventListener('click', () => {
    setText(element('storage-note'), TEXT.reading());
    dialog.showModal();
    void show();
  });
  let asked = 0;
  watch(['model', 'run'], () => {
    const worth = Number(state.model !== null) + Number(isRunning());
    if (worth > asked) void askToKeep();
    asked = Math.max(asked, worth);
  });
}
