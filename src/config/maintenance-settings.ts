/** The switch for the times when nothing may be written, such as garbage collection. */
import { z } from 'zod'
import { key, plainText } from './values.ts'

export const maintenance = key(
  z
    .strictObject({
      readOnly: key(
        z.boolean().default(false),
        'Whether pushes and deletes get 503 while pulls go on; takes effect at once when the file changes.',
      ),
      message: key(
        plainText.default('the registry is read-only for maintenance; try again later'),
        'The sentence that a refused client shows.',
        { kind: 'text' },
      ),
      retryAfterSeconds: key(z.int().min(1).max(86_400).default(300), '`Retry-After` of the refusal.', { unit: 's' }),
    })
    .prefault({}),
  'Read-only operation, for garbage collection and moves.',
)
