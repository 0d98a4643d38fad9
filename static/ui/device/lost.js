// @ts-check
/**
 * When the GPU goes away (its driver restarts, the browser takes it back): what happened is said,
 * it is asked for once more without being told to, and the model is loaded again. Chrome refuses
 * a page that lost it twice for two minutes, or until the page is reloaded.
 */

import { t } from '../../messages/messages.js';
import { state, watch } from '../../store.js';
import { announce, clearError } from '../messages.js';
import { clearNotice, showNotice } from '../notices.js';
import { hadModel, reload } from '../model/model.js';
import { train } from '../run/run.js';
import { describeReturn, Losses, whatEnded } from './loss-words.js';

/** @import {Studio} from '../../api.js' */
/** @import {DeviceLost, Resumable} from '../../types.js' */
/** @import {Action} from '../notices.js' */

const KEY = 'device-lost';

/** @param {Studio} studio */
export function mountLost(studio) {
  const losses = new Losses();
  let turn = 0;
  /** What the last loss took, until the GPU is back. @type {DeviceLost|null} */
  let open = null;

  /** @param {Resumable} run @returns {Action} */
  const goOn = (run) => ({
    label: t('Go on from step {step}', { step: run.step }),
    act: () => {
      clearNotice(KEY);
      void train(studio, true);
    },
  });

  function showBack() {
    if (!open) return;
    const { resumable, model } = state;
    const text = describeReturn(open, model?.name ?? '', resumable, state.adapter !== null);
    const canGoOn = open.job === 'training' && resumable?.is_this_model && state.hasCorpus;
    showNotice(KEY, text, { actions: canGoOn ? [goOn(resumable)] : [] });
    open = null;
  }

  /** @param {DeviceLost} loss */
  async function recover(loss) {
    const mine = ++turn;
    showNotice(KEY, [t(loss.message), whatEnded(loss.job), t('Asking for it again…')].filter(Boolean).join(' '), { canDismiss: false });
    const isBack = hadModel() ? await reload(studio) : await studio.request('diagnose', { measure: false }).then(() => true, () => false);
    if (mine !== turn) return; // it went away again
    if (isBack) showBack();
    else ask(loss);
  }

  /** @param {DeviceLost} loss */
  function ask(loss) {
    clearError();
    const text = [t(loss.message), whatEnded(loss.job),
      t('Chrome gives a page that lost the GPU twice no other one for two minutes, or until the page is reloaded: try again then, or download what you want to keep and reload.'),
      ...loss.gone.map((sentence) => t(sentence))].filter(Boolean).join(' ');
    showNotice(KEY, text, { actions: [{ label: t('Try again'), act: () => void recover(loss) }], canDismiss: false });
    announce(t(loss.message));
  }

  studio.on('device-lost', (/** @type {DeviceLost} */ loss) => {
    // What two losses in a row took is told together.
    const gone = [...new Set([...(open?.gone ?? []), ...loss.gone])];
    open = { ...loss, job: loss.job === 'loading' && open?.job ? open.job : loss.job, gone };
    if (losses.note()) void recover(open);
    else {
      turn += 1;
      ask(open);
    }
  });
  // A model that a person chose meanwhile ends it as well.
  watch(['model', 'status'], () => {
    if (state.model && state.status === 'ready') showBack();
  });
}
