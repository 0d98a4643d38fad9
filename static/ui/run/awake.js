// @ts-check
/**
 * A run needs the computer awake and the tab alive: keep the screen on, be no candidate for
 * freezing, and say so where time was lost all the same.
 */

import { t } from '../../messages/messages.js';
import { TRAINING } from '../../offline/tabs.js';
import { isRunning, isSearching, state, watch } from '../../store.js';
import { formatDuration } from '../format.js';
import { clearNotice, showNotice } from '../notices.js';

const TICK_MS = 10_000;
/** Hidden tabs tick once a minute; a pause of more than two is one that somebody made. */
const GAP_MS = 130_000;
/** The service worker waits for the lock for longer than that, and is asked again. */
const ASK_EVERY_MS = 60_000;

const TEXT = {
  /** @param {number} seconds */
  gap: (seconds) => t('This tab was asleep for {time}: the computer slept, or the browser froze a hidden tab to save energy. The run went on from where it was.', { time: formatDuration(seconds) }),
  battery: () => t('On battery, Chrome’s Energy Saver may freeze a tab that stays hidden for five minutes. Keep this tab visible or plug the computer in, and the run goes on.'),
};

/** @type {any} a WakeLockSentinel */
let screenLock = null;
/** @type {(() => void)|null} lets go of the lock */
let release = null;
let ticking = 0;

async function keepScreenOn() {
  if (screenLock || document.hidden) return;
  try {
    screenLock = await navigator.wakeLock.request('screen');
    screenLock.addEventListener('release', () => {
      screenLock = null;
    });
    if (!release) await screenLock.release(); // the run ended meanwhile
  } catch {
    screenLock = null; // a low battery or a policy: the run goes on, the screen may turn off
  }
}

/** Let the service worker wait for this tab's lock: what blocks another is not frozen. */
function askToWait() {
  navigator.serviceWorker?.controller?.postMessage({ type: 'wait-for', lock: TRAINING });
}

async function warnOnBattery() {
  const battery = await /** @type {any} */ (navigator).getBattery?.();
  if (release && battery && !battery.charging) showNotice('battery', TEXT.battery());
}

function begin() {
  const over = new Promise((resolve) => {
    release = () => resolve(null);
  });
  navigator.locks?.request(TRAINING, () => {
    askToWait();
    return over;
  }).catch(() => {});
  void keepScreenOn();
  warnOnBattery().catch(() => {});
  let seen = Date.now();
  let asked = seen;
  ticking = setInterval(() => {
    const now = Date.now();
    if (now - seen > GAP_MS) showNotice('gap', TEXT.gap((now - seen) / 1e3));
    seen = now;
    if (now - asked < ASK_EVERY_MS - TICK_MS) return;
    asked = now;
    askToWait();
  }, TICK_MS);
}

function end() {
  clearInterval(ticking);
  release?.();
  release = null;
  void screenLock?.release();
  clearNotice('battery');
}

export function mountAwake() {
  watch(['run', 'search', 'status'], () => {
    const isWorking = (isRunning() || isSearching()) && state.status !== 'paused';
    if (isWorking && !release) begin();
    else if (!isWorking && release) end();
  });
  document.addEventListener('visibilitychange', () => {
    if (release && !document.hidden) void keepScreenOn();
  });
}
