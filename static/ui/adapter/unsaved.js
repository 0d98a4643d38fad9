// @ts-check
/** The offer to take back what an earlier visit trained and nobody downloaded. */

import { forget } from '../../kept/adapter-store.js';
import { plural, t } from '../../messages/messages.js';
import { state, update } from '../../store.js';
import { showFailure } from '../messages.js';
import { clearNotice, showNotice } from '../notices.js';

/** @import {Found} from '../../kept/adapter-store.js' */

const KEY = 'unsaved';

/** @param {Found[]} here of this model @param {Found[]} elsewhere of others */
function describe(here, elsewhere) {
  const [only] = here;
  if (only && here.length === 1) {
    return plural(only.kept.steps, {
      one: '{name} of your last visit, trained {count} step and not downloaded, is still here.',
      other: '{name} of your last visit, trained {count} steps and not downloaded, is still here.',
    }, { name: only.kept.name });
  }
  if (only) return plural(here.length, { one: '{count} adapter of your last visits, trained and not downloaded, is still here.', other: '{count} adapters of your last visits, trained and not downloaded, are still here.' });
  return t('An adapter of {model}, trained and not downloaded, is still here: choose that model to take it back.', { model: elsewhere.at(-1)?.kept.model ?? '' });
}

/**
 * @param {Found[]} found oldest first
 * @param {(found: Found) => Promise<void>} takeBack
 */
export function offerUnsaved(found, takeBack) {
  const here = found.filter(({ kept }) => kept.model === state.model?.name);
  const elsewhere = found.filter((one) => !here.includes(one));
  if (!found.length) {
    clearNotice(KEY);
    return;
  }
  const take = {
    label: here.length > 1 ? t('Take them back') : t('Take it back'),
    act: async () => {
      try {
        for (const one of here.splice(0)) await takeBack(one);
        update({ useLora: true });
        clearNotice(KEY);
      } catch (error) {
        showFailure(error);
      }
    },
  };
  const discard = async () => {
    clearNotice(KEY);
    for (const { kept } of here.length ? here : elsewhere) await forget(kept.key).catch(showFailure);
  };
  /** @param {string} label @param {() => void} act */
  const show = (label, act) => showNotice(KEY, describe(here, elsewhere), { actions: [...(here.length ? [take] : []), { label, act }] });
  // What cannot be had again is asked for twice.
  show(t('Discard'), () => show(t('Really discard?'), () => void discard()));
}
