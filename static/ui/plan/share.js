// @ts-check
/** A link that carries the settings of a run, and what happens when one is opened. */

import { t } from '../../messages/messages.js';
import { linkTo, readSettings, settingsToShare, takeSettings } from '../../settings-link.js';
import { StudioError } from '../../api.js';
import { state, update, watch } from '../../store.js';
import { button, element, input, setText } from '../dom.js';
import { showError } from '../messages.js';

/** @import {Studio} from '../../api.js' */
/** @import {Setting} from '../../types.js' */

/** What the address brought, until Python has said which settings there are. @type {string|null} */
let brought = null;
/** What the person had before a link was opened. @type {Record<string, Setting>} */
let own = {};

/** Take settings out of the address: a reload must not undo what is changed after this. */
function lookAtAddress() {
  const { text, rest } = takeSettings(location.hash);
  if (text === null) return;
  brought = text;
  history.replaceState(null, '', `${location.pathname}${location.search}${rest && `#${rest}`}`);
}

/** @param {Studio} studio */
async function open(studio) {
  if (brought === null || !state.fields.length) return;
  const { settings, problem } = readSettings(brought, state.fields);
  brought = null;
  try {
    if (problem) throw new Error(problem);
    await studio.request('check-settings', { edits: settings });
  } catch (error) {
    const first = error instanceof StudioError ? error.problems[0] : undefined;
    const reason = first ?? (error instanceof Error ? error.message : String(error));
    showError(t('The settings in this link are not used: {reason}.', { reason: t(reason).replace(/\.$/, '') }));
    return;
  }
  own = state.edits;
  element('link-note').hidden = false;
  update({ edits: settings });
}

async function share() {
  const link = linkTo(location.href, settingsToShare(state.fields, state.plan?.settings ?? {}, state.edits));
  const { text } = takeSettings(new URL(link).hash);
  if (text !== null && readSettings(text, state.fields).problem) {
    // Words that were typed where a number belongs do not leave this page.
    element('share').hidden = false;
    input('share-link').value = '';
    setText(element('share-note'), t('There is no link yet: a setting has a value that it cannot have.'));
    return;
  }
  const field = input('share-link');
  field.value = link;
  element('share').hidden = false;
  field.focus();
  field.select();
  try {
    await navigator.clipboard.writeText(link);
    setText(element('share-note'), t('Copied. The link carries these settings and nothing else: no text, no model, no adapter.'));
  } catch {
    setText(element('share-note'), t('Copy this link. It carries these settings and nothing else: no text, no model, no adapter.'));
  }
}

/** @param {Studio} studio */
export function mountShare(studio) {
  lookAtAddress();
  addEventListener('hashchange', () => {
    lookAtAddress();
    void open(studio);
  });
  watch(['fields'], () => void open(studio));
  watch(['edits'], () => {
    element('share').hidden = true;
  });
  button('plan-share').addEventListener('click', () => void share());
  button('link-undo').addEventListener('click', () => {
    element('link-note').hidden = true;
    update({ edits: own });
  });
}
