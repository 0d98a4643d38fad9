// @ts-check
/** The dialog that says what keeps the text here, and shows it at work. */

import { t } from '../../messages/messages.js';
import { tryToConnect } from '../../policy.js';
import { button, byId, element, setText } from '../dom.js';

/** @import {Studio} from '../../api.js' */

/** @param {Studio} studio */
async function check(studio) {
  const place = element('privacy-result');
  setText(place, t('Trying…'));
  const page = await tryToConnect();
  const worker = studio.worker ? await studio.request('try-to-connect').catch(() => null) : null;
  if (page && worker !== false) {
    setText(place, worker === null
      ? t('Refused by the browser, as it should be: the page cannot connect to another address. The worker does not run here.')
      : t('Refused by the browser, both times: neither the page nor the worker that holds your text can connect to another address.'));
  } else {
    setText(place, t('Not refused here: this host sends no policy, and the browser let the page install none (a private window does that). Nothing was sent. Open the page in a normal window, or watch the Network panel.'));
  }
}

/** @param {Studio} studio */
export function mountPrivacy(studio) {
  const dialog = byId('privacy-dialog', HTMLDialogElement);
  for (const id of ['privacy-open', 'first-privacy', 'foot-privacy']) button(id).addEventListener('click', () => dialog.showModal());
  button('privacy-check').addEventListener('click', () => void check(studio));
}
