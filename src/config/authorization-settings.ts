/** The settings of who may do what. */
import { z } from 'zod'
import { key } from './values.ts'
import type { PathSchema } from './values.ts'

export function authorizationSection(path: PathSchema) {
  return key(
    z
      .strictObject({
        policies: key(
          path.prefault('policies'),
          'A policy file, or a folder whose `*.yaml` are one policy; read again when it changes.',
          { kind: 'path' },
        ),
        shadow: key(
          path.optional(),
          'A policy file or folder that is evaluated beside the live one and never enforced: differences are counted, and stand in the audit.',
          { kind: 'path', unset: 'no shadow policy' },
        ),
      })
      .prefault({}),
    'Who may do what: [the policy language](policies.md).',
  )
}
