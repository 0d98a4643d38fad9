// @ts-check
/** The footer's two downloads, an adapter's and a whole model's: the one made last comes first. */

import { state, watch } from '../../store.js';
import { element } from '../dom.js';

/** @typedef {'adapter'|'tuned'} Kind */
/** What there is, each by what changes when it is made or trained on. @typedef {{adapters: string[], tuned: string}} Made */

/**
 * @param {Kind} before
 * @param {Made} was
 * @param {Made} is
 * @returns {Kind} what was made last
 */
export function newestOf(before, was, is) {
  if (!is.tuned) return 'adapter';
  if (!is.adapters.length || is.tuned !== was.tuned) return 'tuned';
  return is.adapters.every((one) => was.adapters.includes(one)) ? before : 'adapter';
}

export function mountNewest() {
  /** @type {Kind} */
  let newest = 'adapter';
  /** @type {Made} */
  let was = { adapters: [], tuned: '' };
  watch(['shelf', 'tuned'], () => {
    const is = { adapters: state.shelf.map(({ id, steps }) => `${id}/${steps}`), tuned: String(state.tuned?.steps ?? '') };
    const now = newestOf(newest, was, is);
    was = is;
    if (now === newest) return;
    newest = now;
    const [tuned, adapter, focused] = [element('tuned-bar'), element('adapter-bar'), document.activeElement];
    if (now === 'adapter') tuned.before(adapter);
    else tuned.after(adapter);
    if (focused instanceof HTMLElement && adapter.contains(focused)) focused.focus({ preventScroll: true }); // a move loses it
  });
}
