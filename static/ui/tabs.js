// @ts-check
/** What a second tab is told, and how it takes over. */

import { t } from '../messages/messages.js';
import { claim, claimLater } from '../offline/tabs.js';
import { update } from '../store.js';
import { clearNotice, showNotice } from './notices.js';

const TEXT = {
  second: () => t('LoRA Lab is already open in another tab or window. Two would fight over one GPU and the same files, so this one waits: go on there, or close it and work here.'),
  free: () => t('The other tab is closed: you can work here now.'),
  begin: () => t('Work here'),
};

/** @returns {Promise<void>} resolves when this tab may work */
export async function waitForTurn() {
  if (await claim()) return;
  update({ gpuText: t('in use by another tab'), isWaiting: true });
  showNotice('tabs', TEXT.second(), { canDismiss: false });
  const before = navigator.serviceWorker?.controller;
  await claimLater();
  await new Promise((resolve) => {
    showNotice('tabs', TEXT.free(), { actions: [{ label: TEXT.begin(), act: () => resolve(null) }], canDismiss: false });
  });
  if (before && navigator.serviceWorker.controller !== before) {
    location.reload(); // a new version came meanwhile: its worker would not fit this page
    await new Promise(() => {});
  }
  clearNotice('tabs');
  update({ isWaiting: false });
}
