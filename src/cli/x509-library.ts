/** The one door to @peculiar/x509. It is loaded on demand, because only the making of certificates needs it. */

import type * as X509 from '@peculiar/x509'

export type X509Library = typeof X509

/**
 * Loads @peculiar/x509, and before it the metadata functions of `Reflect` that it finds its algorithms through (its
 * README, "Reflect Polyfill Required").
 */
export async function loadX509Library(): Promise<X509Library> {
  await import('reflect-metadata')
  return import('@peculiar/x509')
}
