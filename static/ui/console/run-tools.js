// @ts-check
/** What a person does with one run of the list: name it, delete it. */

import { t } from '../../messages/messages.js';
import { isRunning, state } from '../../store.js';
import { element, make, setText } from '../dom.js';
import { deleteRuns, renameRun } from './history.js';
import { titleOf } from './runs.js';

/** @import {Run} from '../../types.js' */

const NAME_LENGTH = 60;

/**
 * A button that deletes when it is pressed twice; looking elsewhere takes the first press back.
 * @param {() => string} label
 * @param {string} about what is deleted, for those who do not see where the button stands
 * @param {() => Promise<void>} remove
 */
export function deleteButton(label, about, remove) {
  const press = make('button', { type: 'button', class: 'link' });
  let isSure = false;
  /** @param {boolean} sure @param {string} [words] */
  const say = (sure, words = about) => {
    isSure = sure;
    about = words;
    setText(press, sure ? t('Delete for good?') : label());
    if (!words) return;
    press.setAttribute('aria-label', sure ? t('Delete {what} for good?', { what: words }) : t('{action}: {what}', { action: label(), what: words }));
  };
  press.addEventListener('click', async () => {
    if (!isSure) return say(true);
    say(false);
    await remove();
    // The button goes with what was deleted: go on where the rest is listed and counted.
    element(state.pastRuns.length || state.damagedRecords.length ? 'runs-sum' : 'loss-chart').focus();
  });
  press.addEventListener('blur', () => say(false));
  say(false);
  /** @param {string} words */
  const name = (words) => say(isSure, words);
  return { press, name };
}

/** @param {() => Run|undefined} find the run, as it is by then */
export function runTools(find) {
  const name = make('input', { type: 'text', maxlength: String(NAME_LENGTH), autocomplete: 'off', 'data-testid': 'run-name' });
  const label = make('label', {}, `${t('Name')} `, name);
  const removal = deleteButton(() => t('Delete'), '', () => {
    const run = find();
    return run ? deleteRuns([run], []) : Promise.resolve();
  });
  name.addEventListener('change', () => {
    const run = find();
    if (run) renameRun(run, name.value.trim());
  });
  return {
    place: make('p', { class: 'run-tools' }, label, removal.press),
    /** @param {Run} run */
    render(run) {
      if (document.activeElement !== name) name.value = run.name;
      name.placeholder = t('Run {number}', { number: run.number });
      removal.name(titleOf(run));
      // A run that is on writes what would be deleted, and one that fails brings the list back.
      removal.press.disabled = isRunning() || (run === state.run && !run.done && !run.failed);
    },
  };
}
