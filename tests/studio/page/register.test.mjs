// A new version is told of whenever it comes to lie ready, before or after the page asked.

import assert from 'node:assert/strict';
import { test } from 'node:test';

class Worker extends EventTarget {
  state = 'installing';
  posted = [];

  postMessage(message) {
    this.posted.push(message);
  }

  install(registration) {
    this.state = 'installed';
    Object.assign(registration, { installing: null, waiting: this });
    this.dispatchEvent(new Event('statechange'));
  }
}

/** A page whose service worker is in some state, and what it tells the person. */
async function watch(state) {
  const registration = Object.assign(new EventTarget(), { installing: null, waiting: null, active: new Worker(), ...state });
  const serviceWorker = Object.assign(new EventTarget(), { controller: registration.active, register: async () => registration });
  Object.defineProperty(globalThis, 'navigator', { value: { serviceWorker }, configurable: true });
  globalThis.document = new EventTarget();
  const { watchForUpdates } = await import(`../../../static/offline/register.js?${Math.random()}`);
  const told = [];
  await watchForUpdates((start) => told.push(start));
  return { registration, told };
}

test('a version found later', async () => {
  const { registration, told } = await watch({});
  const installing = new Worker();
  registration.installing = installing;
  registration.dispatchEvent(new Event('updatefound'));
  assert.equal(told.length, 0);
  installing.install(registration);
  assert.equal(told.length, 1);
  told[0]();
  assert.deepEqual(installing.posted, [{ type: 'activate' }]);
});

test('a version that was being installed when the page opened', async () => {
  const installing = new Worker();
  const { registration, told } = await watch({ installing });
  assert.equal(told.length, 0);
  installing.install(registration);
  assert.equal(told.length, 1);
});

test('a version that lay ready when the page opened', async () => {
  const waiting = new Worker();
  waiting.state = 'installed';
  const { told } = await watch({ waiting });
  assert.equal(told.length, 1);
});

test('the first version of all is no news', async () => {
  const installing = new Worker();
  const { registration, told } = await watch({ installing, active: null });
  installing.install(registration);
  assert.equal(told.length, 0);
});
