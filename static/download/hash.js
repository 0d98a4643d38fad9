// @ts-check
/**
 * SHA-256 of bytes as they arrive: the browser's own digest wants all of a file in memory at once.
 */

/** @typedef {{init: () => Hasher, update: (bytes: Uint8Array) => Hasher, digest: () => string}} Hasher of hash-wasm */

const STEP_BYTES = 4 << 20;

/** @returns {Promise<Hasher>} */
export async function newHasher() {
  const scope = /** @type {any} */ (globalThis);
  // A classic script that puts itself under this name; build.py copies it there.
  if (!scope.hashwasm) await import(new URL('../vendor/hash-wasm/sha256.js', import.meta.url).href);
  return (await scope.hashwasm.createSHA256()).init();
}

/**
 * Take what was stored before into the hash, as a part is to be continued.
 * @param {Hasher} hasher
 * @param {{size: number, read: (at: number, size: number) => Uint8Array}} stored
 * @param {AbortSignal} signal
 * @param {(checked: number) => void} onProgress
 */
export async function hashStored(hasher, stored, signal, onProgress) {
  hasher.init();
  for (let at = 0; at < stored.size; at += STEP_BYTES) {
    signal.throwIfAborted();
    const end = Math.min(at + STEP_BYTES, stored.size);
    hasher.update(stored.read(at, end - at));
    onProgress(end);
    await new Promise((resolve) => setTimeout(resolve)); // so that it can be cancelled
  }
}

/** @param {Blob} blob of a few bytes @returns {Promise<string>} */
export async function sha256(blob) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
