// @ts-check
/** What the build put beside this page: every file with its size and hash. */

/** @typedef {{build: string, files: Record<string, {size: number, sha256: string}>}} Manifest */

/** @type {Promise<Manifest>|null} */
let loading = null;

/** @returns {Promise<Manifest>} */
async function fetchManifest() {
  const response = await fetch(new URL('./manifest.json', import.meta.url), { cache: 'no-cache' });
  if (!response.ok) throw new Error(`manifest.json could not be fetched (${response.status})`);
  return response.json();
}

/** Fetched once; a failure is forgotten, so that the next call tries again. */
export function manifest() {
  loading ??= fetchManifest().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}
