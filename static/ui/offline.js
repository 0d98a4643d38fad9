// @ts-check
/** What is told of the page's own copy on this device: kept, and when a new version lies ready. */

import { t } from '../messages/messages.js';
import { keepPage, watchForUpdates } from '../offline/register.js';
import { isRunning, state, update, watch } from '../store.js';
import { showNotice } from './notices.js';

const TEXT = {
  ready: () => t('A new version of LoRA Lab is ready. It starts when you reload; text that you pasted is kept only where you asked for it.'),
  reload: () => t('Reload'),
  running: () => t('A new version of LoRA Lab is ready. It waits for the end of this run: reload then.'),
};

export function mountOffline() {
  /** @type {(() => void)|null} */
  let start = null;
  const tell = () => {
    if (!start) return;
    const begin = start;
    if (isRunning()) showNotice('update', TEXT.running());
    else showNotice('update', TEXT.ready(), { actions: [{ label: TEXT.reload(), act: begin }] });
  };
  void watchForUpdates((begin) => {
    start = begin;
    tell();
  });
  let wasRunning = isRunning();
  watch(['run'], () => {
    if (isRunning() === wasRunning) return;
    wasRunning = isRunning();
    tell();
  });

  // Not before Python is up: until then the page itself needs the line and the processor.
  let asked = false;
  watch(['status'], () => {
    if (asked || state.status === 'booting' || state.status === 'loading') return;
    asked = true;
    keepPage().then((isKept) => update({ isKept }), () => {});
  });
}
