// @ts-check
/** What the page says and does where there is no GPU to compute on. */

import { t } from '../../messages/messages.js';
import { update } from '../../store.js';
import { element, make } from '../dom.js';
import { showError } from '../messages.js';

/** @import {Support} from '../../gpu/check.js' */

/** @param {Support} support */
export function showNoGpu(support) {
  update({ supported: false, status: 'error', gpuText: t('none available') });
  showError(t('{sentence} Training and chat need one.', { sentence: support.found }));
  element('error-text').append(' ', make('a', { href: '#webgpu-help', text: t('How to get one') }));
  element('help-steps').replaceChildren(...support.steps.map((step) => make('li', { text: step })));
  element('webgpu-help').hidden = false;
}
