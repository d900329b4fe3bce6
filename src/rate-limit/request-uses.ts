/** What a request means to buckets, by its kind and method alone. */
import type { BucketClass } from '../config/limits-settings.ts'
import type { RegistryRequest } from '../registry/route.ts'

export type RequestUse = {
  /** `counted` is a pull, `shown` tells how the pulls stand (HEAD, which is free). */
  readonly pull: 'counted' | 'shown' | 'no'
  /** `part` belongs to a push and begins one; `beside` is let through while one goes on, and begins none (HEAD). */
  readonly push: 'part' | 'beside' | 'no'
  readonly isListing: boolean
  /** Whether content flows, and which way. */
  readonly content: 'down' | 'up' | 'no'
  /** HEAD is no transfer: it takes no lease. */
  readonly isTransfer: boolean
}

const nothing: RequestUse = { pull: 'no', push: 'no', isListing: false, content: 'no', isTransfer: true }
const head: RequestUse = { ...nothing, isTransfer: false }

/** The shapes of requests, each with its use; a request is of exactly one. */
export const requestUses = {
  base: nothing,
  listing: { ...nothing, isListing: true, content: 'down' },
  'listing-head': { ...head, isListing: true },
  'manifest-get': { ...nothing, pull: 'counted', content: 'down' },
  'manifest-head': { ...head, pull: 'shown', push: 'beside' },
  'manifest-put': { ...nothing, push: 'part', content: 'up' },
  'blob-get': { ...nothing, content: 'down' },
  'blob-head': { ...head, push: 'beside' },
  upload: { ...nothing, push: 'part', content: 'up' },
  'upload-state': { ...head, push: 'part' },
  delete: nothing,
  head,
} as const satisfies Record<string, RequestUse>

export type RequestShape = keyof typeof requestUses

export function shapeOf(request: RegistryRequest): RequestShape {
  switch (request.kind) {
    case 'base':
      return request.method === 'HEAD' ? 'head' : 'base'
    case 'catalog':
    case 'tags':
    case 'referrers':
      return request.method === 'HEAD' ? 'listing-head' : 'listing'
    case 'manifest':
      return manifestShapes[request.method]
    case 'blob':
      return blobShapes[request.method]
    case 'upload-start':
      return 'upload'
    case 'upload-session':
      return request.method === 'PATCH' || request.method === 'PUT' ? 'upload' : 'upload-state'
  }
}

const manifestShapes = { GET: 'manifest-get', HEAD: 'manifest-head', PUT: 'manifest-put', DELETE: 'delete' } as const
const blobShapes = { GET: 'blob-get', HEAD: 'blob-head', DELETE: 'delete' } as const

/** Whether the bytes and transfers of a class are those of a request; what counts requests is told by its use. */
export function transfersOf(counted: BucketClass, use: RequestUse): boolean {
  switch (counted) {
    case 'login':
    case 'token':
      return false
    case 'pull':
      return !use.isListing && use.content === 'down'
    case 'push':
      return use.push === 'part' && use.isTransfer
    case 'api':
      return use.isListing && use.isTransfer
    case 'requests':
      return use.isTransfer
  }
}
